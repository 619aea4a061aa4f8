import { pause } from "../../support/clock.ts";
import { isErrno } from "../../sys/errno.ts";
import { NETLINK_NETFILTER, NetlinkSocket, type Transport } from "../../sys/socket.ts";
import { be32 } from "../codec.ts";
import { NetlinkConnection } from "../connection.ts";
import type { Batch, Operation } from "./batch.ts";
import { type Chain, type ChainEntry, chainMessage, decodeChain } from "./chain.ts";
import {
  decodeElements,
  type Element,
  type ElementPlace,
  encodeElementKey,
  encodeElementKeys,
  encodeElements,
} from "./element.ts";
import { NFNL_BATCH, NFNL_SUBSYS_NFTABLES, NFPROTO, NFT, netfilterMessage, type TableFamily } from "./message-types.ts";
import { explainRefusal } from "./refusal.ts";
import { decodeRule, decodeRuleLabel, type RuleEntry, ruleMessage } from "./rule.ts";
import { decodeSet, type NftSet, type SetEntry, setMessage } from "./set.ts";
import { decodeTable, type Table, type TableEntry, tableMessage, tableText } from "./table.ts";
import type { Value } from "./values.ts";

const RESTARTS = 20;

/** Where many ask at once, each one that is served makes all others begin anew: they come back at different times, at most so many ms later. */
const LONGEST_PAUSE_MS = 20;

const batchMessage = netfilterMessage({ generation: [1, "NFNL_BATCH_GENID", be32] });
const generationMessage = netfilterMessage({ id: [1, "NFTA_GEN_ID", be32] });
const NO_FILTER = { family: 0 } as const;

/** nf_tables of one network namespace. */
export class Nftables implements Disposable {
  readonly connection: NetlinkConnection;
  readonly #comments = new Map<string, ReadonlyMap<string, readonly (string | undefined)[]>>();

  constructor(transport: Transport) {
    this.connection = new NetlinkConnection(transport);
  }

  /** Of the namespace this thread stands in. */
  static open(): Nftables {
    try {
      return new Nftables(NetlinkSocket.open(NETLINK_NETFILTER));
    } catch (error) {
      if (!isErrno(error, "EPROTONOSUPPORT")) throw error;
      throw new Error("Cannot open nf_tables: the kernel lacks CONFIG_NETFILTER_NETLINK", { cause: error });
    }
  }

  /**
   * Makes all changes of a batch, or none.
   * @param options.generation refuse (ERESTART) when anything changed since generation() said so
   * @param options.rehearse have the kernel say whether it would, and change nothing: `nft --check`
   * @throws NftablesError that names the first operation refused
   */
  commit(batch: Batch, options: { generation?: number; rehearse?: boolean } = {}): void {
    let operations: readonly Operation[] = batch.operations;
    this.#comments.clear();
    while (operations.length > 0) {
      const refusals = this.connection.transact(
        operations.map(({ request }) => request),
        envelope(options),
      );
      const [first] = refusals;
      if (first === undefined) return;
      // What may be absent and is so goes out of the batch. One refusal can bring others behind it: only then are those real
      const absent = new Set(
        refusals.filter(({ at, error }) => operations[at]?.ifPresent === true && error.code === "ENOENT").map(({ at }) => at),
      );
      if (absent.size === 0) throw explainRefusal(first, operations);
      operations = operations.filter((_, at) => !absent.has(at));
    }
  }

  /**
   * Reads, decides and changes as if nobody else did meanwhile: `build` is called again when somebody changed something in between.
   * @returns the batch that was committed; one without operations is not sent
   */
  transaction(
    build: () => Batch,
    commit: (batch: Batch, generation: number) => void = (batch, generation) => this.commit(batch, { generation }),
  ): Batch {
    for (let tries = 0; ; tries++) {
      const generation = this.generation();
      const batch = build();
      if (batch.operations.length === 0) return batch;
      try {
        commit(batch, generation);
        return batch;
      } catch (error) {
        if (tries >= RESTARTS || !isErrno(error, "ERESTART")) throw error;
        if (tries > 0) pause(Math.random() * Math.min(0.2 * 2 ** tries, LONGEST_PAUSE_MS));
      }
    }
  }

  /** The number of the last change to nf_tables in this namespace. */
  generation(): number {
    this.#comments.clear();
    const body = this.connection.get({ type: NFT.GETGEN, body: generationMessage.encode({}) });
    return generationMessage.decode(body).id ?? 0;
  }

  tables(family?: TableFamily): TableEntry[] {
    const body = tableMessage.encode(family === undefined ? NO_FILTER : { family: NFPROTO[family] });
    return this.connection.dump({ type: NFT.GETTABLE, body }).map(decodeTable);
  }

  /** All chains, of one table where it is given. */
  chains(table?: Table): ChainEntry[] {
    const body = chainMessage.encode(table === undefined ? NO_FILTER : { family: NFPROTO[table.family] });
    const all = this.connection.dump({ type: NFT.GETCHAIN, body }).map(decodeChain);
    return table === undefined ? all : all.filter((chain) => chain.table.name === table.name);
  }

  /** Whether there is a chain of this name. */
  hasChain({ table, name }: Pick<Chain, "table" | "name">): boolean {
    const body = chainMessage.encode({ family: NFPROTO[table.family], table: table.name, name });
    return orUndefined(() => this.connection.get({ type: NFT.GETCHAIN, body })) !== undefined;
  }

  /** The rules of a table, or of one chain; none where there is no such table or chain. */
  rules(of: Table | Pick<Chain, "table" | "name">): RuleEntry[] {
    const { table, chain } = "table" in of ? { table: of.table, chain: of.name } : { table: of, chain: undefined };
    const body = ruleMessage.encode({ family: NFPROTO[table.family], table: table.name, chain });
    return this.#dump(NFT.GETRULE, body).map(decodeRule);
  }

  /**
   * The comments of a table's rules by chain, in order. Read once and kept while nothing changes, as far as this object is told: whoever
   * looks at several chains in one transaction pays for one dump.
   */
  ruleComments(table: Table): ReadonlyMap<string, readonly (string | undefined)[]> {
    const known = this.#comments.get(tableText(table));
    if (known !== undefined) return known;
    const body = ruleMessage.encode({ family: NFPROTO[table.family], table: table.name });
    const byChain = new Map<string, (string | undefined)[]>();
    for (const { chain, comment } of this.#dump(NFT.GETRULE, body).map(decodeRuleLabel)) {
      byChain.set(chain, [...(byChain.get(chain) ?? []), comment]);
    }
    this.#comments.set(tableText(table), byChain);
    return byChain;
  }

  /** The sets and maps of a table; none where there is no such table. */
  sets(table: Table): SetEntry[] {
    const body = setMessage.encode({ family: NFPROTO[table.family], table: table.name });
    return this.#dump(NFT.GETSET, body).map(decodeSet);
  }

  /**
   * The elements of a set; undefined where there is no such set.
   * @param options.mentioning only those in which these words stand, as in a comment; not for intervals of one field, which are of two parts
   */
  elements(set: NftSet, options: { mentioning?: string } = {}): Element[] | undefined {
    const bodies = orUndefined(() => this.connection.dump({ type: NFT.GETSETELEM, body: encodeElements(set, undefined) }));
    return bodies && decodeElements(set, bodies, options);
  }

  /** The element with this key, or the interval that it is in; undefined where there is none, or no such set. */
  element(set: NftSet, key: readonly Value[]): Element | undefined {
    const ask = (options: { start?: boolean } = {}) =>
      this.connection.findAll({ type: NFT.GETSETELEM, body: encodeElementKey(set, key, options) });
    // An interval up to the highest value has no end to be found
    const bodies = ask() ?? (set.interval === true && set.key.length === 1 ? ask({ start: true }) : undefined);
    return bodies === undefined ? undefined : decodeElements(set, bodies)[0];
  }

  /** Elements of sets without intervals, in order, undefined where there is none: in a fraction of the time that element() takes for each. */
  find(places: readonly ElementPlace[]): (Element | undefined)[] {
    const requests = encodeElementKeys(places);
    const bodies = this.connection.findEach(requests.map((body) => ({ type: NFT.GETSETELEM, body })));
    return places.map(({ set }, at) => {
      const body = bodies[at];
      return body === undefined ? undefined : decodeElements(set, [body])[0];
    });
  }

  [Symbol.dispose](): void {
    this.connection[Symbol.dispose]();
  }

  #dump(type: (typeof NFT)[keyof typeof NFT], body: Uint8Array): Uint8Array[] {
    return orUndefined(() => this.connection.dump({ type, body })) ?? [];
  }
}

function envelope({ generation, rehearse = false }: { generation?: number; rehearse?: boolean }) {
  const common = { resource: NFNL_SUBSYS_NFTABLES };
  const begin = { type: NFNL_BATCH.BEGIN, body: batchMessage.encode({ ...common, generation }) };
  return rehearse ? { begin } : { begin, end: { type: NFNL_BATCH.END, body: batchMessage.encode(common) } };
}

function orUndefined<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
