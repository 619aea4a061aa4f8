import { shellWord } from "../../support/shell-word.ts";
import { flags, type NetlinkRequest } from "../connection.ts";
import { type Chain, chainMessage, chainText, describeChain, encodeChain } from "./chain.ts";
import { describeElement, type Element, encodeElementKeys, encodeElements } from "./element.ts";
import { NFPROTO, NFT } from "./message-types.ts";
import { describeRule, encodeRule, type Rule, type RuleEntry, ruleMessage } from "./rule.ts";
import { RuleContext } from "./rule-context.ts";
import { describeSet, encodeSet, type NftSet, setKind, setMessage, setText } from "./set.ts";
import { encodeTable, type Table, tableMessage, tableText } from "./table.ts";

/** One operation of a batch. */
export interface Operation {
  readonly request: NetlinkRequest;
  /** What a person types after `nft`; undefined for a part of another operation. */
  readonly command: string | undefined;
  /** What is not there (ENOENT) need not be deleted. */
  readonly ifPresent: boolean;
}

/** How objects are added; `exclusive`: what is there already is refused with EEXIST (nft's `create`). */
export interface AddOptions {
  readonly exclusive?: boolean;
}

/** How objects are deleted; `ifPresent`: what is not there is no error. */
export interface DeleteOptions {
  readonly ifPresent?: boolean;
}

/** An attribute's length has 16 bits, and an element takes up to 400 bytes (three values of 64 and a comment). */
const ELEMENTS_PER_MESSAGE = 128;

/**
 * Changes of nf_tables that take effect together or not at all, in order. Adding what is there already changes nothing, but for rules:
 * those are added once more (flush the chain before).
 */
export class Batch {
  readonly #operations: Operation[] = [];
  #setIds = 0;

  get operations(): readonly Operation[] {
    return this.#operations;
  }

  /** The command a person would type for all of it: one transaction too. */
  get command(): string {
    const commands = this.#operations.flatMap(({ command }) => (command === undefined ? [] : [command]));
    return `nft ${shellWord(commands.join("; "))}`;
  }

  addTable(table: Table, options: AddOptions = {}): void {
    const comment = table.comment === undefined ? "" : ` { comment "${table.comment}"; }`;
    this.#add({ type: NFT.NEWTABLE, body: encodeTable(table) }, `table ${tableText(table)}${comment}`, options);
  }

  /** Deletes the table with everything in it. */
  deleteTable(table: Table, options: DeleteOptions = {}): void {
    const body = tableMessage.encode({ family: NFPROTO[table.family], name: table.name });
    this.#delete({ type: NFT.DELTABLE, body }, `delete table ${tableText(table)}`, options);
  }

  addChain(chain: Chain, options: AddOptions = {}): void {
    this.#add({ type: NFT.NEWCHAIN, body: encodeChain(chain) }, `chain ${describeChain(chain)}`, options);
  }

  /** Deletes an empty chain that nothing jumps to. */
  deleteChain(chain: Pick<Chain, "table" | "name">, options: DeleteOptions = {}): void {
    const body = chainMessage.encode({ family: NFPROTO[chain.table.family], table: chain.table.name, name: chain.name });
    this.#delete({ type: NFT.DELCHAIN, body }, `delete chain ${chainText(chain)}`, options);
  }

  /** Deletes all rules of a chain. */
  flushChain(chain: Pick<Chain, "table" | "name">, options: DeleteOptions = {}): void {
    const body = ruleMessage.encode({ family: NFPROTO[chain.table.family], table: chain.table.name, chain: chain.name });
    this.#delete({ type: NFT.DELRULE, body }, `flush chain ${chainText(chain)}`, options);
  }

  /** Adds a rule at the end of its chain, or behind the rule whose handle is `position`. */
  addRule(rule: Rule, options: { position?: bigint } = {}): void {
    this.#newRule(rule, { word: "add", flags: flags.CREATE | flags.APPEND, position: options.position });
  }

  /** Adds a rule at the start of its chain, or before the rule whose handle is `position`. */
  insertRule(rule: Rule, options: { position?: bigint } = {}): void {
    this.#newRule(rule, { word: "insert", flags: flags.CREATE, position: options.position });
  }

  deleteRule(rule: Pick<RuleEntry, "table" | "chain" | "handle">, options: DeleteOptions = {}): void {
    const { table, chain, handle } = rule;
    const body = ruleMessage.encode({ family: NFPROTO[table.family], table: table.name, chain, handle });
    this.#delete({ type: NFT.DELRULE, body }, `delete rule ${tableText(table)} ${chain} handle ${handle}`, options);
  }

  /** Adds a set or a map. */
  addSet(set: NftSet, options: AddOptions = {}): void {
    this.#add({ type: NFT.NEWSET, body: encodeSet(set, { id: ++this.#setIds }) }, describeSet(set), options);
  }

  deleteSet(set: NftSet, options: DeleteOptions = {}): void {
    const body = setMessage.encode({ family: NFPROTO[set.table.family], table: set.table.name, name: set.name });
    this.#delete({ type: NFT.DELSET, body }, `delete ${setKind(set)} ${setText(set)}`, options);
  }

  /** Deletes all elements of a set. */
  flushSet(set: NftSet, options: DeleteOptions = {}): void {
    this.#delete(
      { type: NFT.DELSETELEM, body: encodeElements(set, undefined) },
      `flush ${setKind(set)} ${setText(set)}`,
      options,
    );
  }

  /**
   * Adds elements. One that is there already with the same data is left as it is, its comment too; with other data it is refused
   * (EEXIST), as is an interval that overlaps another.
   */
  addElements(set: NftSet, elements: readonly Element[], options: AddOptions = {}): void {
    for (const part of parts(elements, ELEMENTS_PER_MESSAGE)) {
      this.#add({ type: NFT.NEWSETELEM, body: encodeElements(set, part) }, `element ${elementsText(set, part)}`, options);
    }
  }

  /** Deletes elements by their keys. */
  deleteElements(set: NftSet, elements: readonly Element[], options: DeleteOptions = {}): void {
    const keys = elements.map(({ key }) => ({ key }));
    for (const [part, body] of deletions(set, keys, options)) {
      this.#delete({ type: NFT.DELSETELEM, body }, `delete element ${elementsText(set, part)}`, options);
    }
  }

  #add(request: NetlinkRequest, words: string, options: AddOptions): void {
    const { exclusive = false } = options;
    const bits = flags.CREATE | (exclusive ? flags.EXCL : 0);
    this.#operations.push({
      request: { ...request, flags: bits },
      command: `${exclusive ? "create" : "add"} ${words}`,
      ifPresent: false,
    });
  }

  #delete(request: NetlinkRequest, command: string, options: DeleteOptions): void {
    this.#operations.push({ request, command, ifPresent: options.ifPresent === true });
  }

  #newRule(rule: Rule, options: { word: "add" | "insert"; flags: number; position: bigint | undefined }): void {
    const context = new RuleContext(rule.table, () => ++this.#setIds);
    const expressions = rule.statements.flatMap((statement) => statement.compile(context));
    for (const { set, elements, id } of context.sets) {
      const create = { flags: flags.CREATE };
      // Of intervals the kernel counts both ends, unless the last has none
      const size = set.interval === true ? {} : { size: elements.length };
      this.#part({ ...create, type: NFT.NEWSET, body: encodeSet(set, { id, ...size }) });
      this.#part({ ...create, type: NFT.NEWSETELEM, body: encodeElements(set, elements, { setId: id }) });
    }
    const body = encodeRule(rule, expressions, { position: options.position });
    const words = describeRule(rule, options.position);
    this.#operations.push({
      request: { type: NFT.NEWRULE, flags: options.flags, body },
      command: `${options.word} rule ${words}`,
      ifPresent: false,
    });
  }

  #part(request: NetlinkRequest): void {
    this.#operations.push({ request, command: undefined, ifPresent: false });
  }
}

function elementsText(set: NftSet, elements: readonly Element[]): string {
  return `${setText(set)} { ${elements.map((element) => describeElement(set, element)).join(", ")} }`;
}

/** Elements that one message deletes, and what it says. One that is not there fails its whole message. */
function deletions(
  set: NftSet,
  keys: readonly Element[],
  { ifPresent = false }: DeleteOptions,
): [readonly Element[], Uint8Array][] {
  if (!ifPresent) return parts(keys, ELEMENTS_PER_MESSAGE).map((part) => [part, encodeElements(set, part)]);
  const bodies = encodeElementKeys(keys.map(({ key }) => ({ set, key })));
  return bodies.map((body, at) => [keys.slice(at, at + 1), body]);
}

function parts<T>(all: readonly T[], size: number): T[][] {
  const found: T[][] = [];
  for (let at = 0; at < all.length; at += size) found.push(all.slice(at, at + size));
  return found;
}
