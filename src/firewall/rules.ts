import type { NetworkNamespace } from "../link/namespace.ts";
import { rehearse } from "../link/nftables.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import { type Chain, chainText } from "../netlink/netfilter/chain.ts";
import type { NftSet } from "../netlink/netfilter/set.ts";
import type { Statement } from "../netlink/netfilter/statement.ts";
import type { Failures } from "../support/errors.ts";

/** A chain that is the same for every attachment: its rules never grow, what differs per attachment is in sets and maps. */
export interface FixedChain {
  readonly chain: Chain;
  /** The sets and maps its rules look into. */
  readonly sets: readonly NftSet[];
  /** Rules by what they are for; the words become their comments. */
  readonly rules: readonly (readonly [purpose: string, ...statements: Statement[]])[];
}

/**
 * Makes a chain, its sets and rules, unless they are there: known by the rules' comments, so a chain of another version of podlink, or
 * one from which a rule was deleted, is filled anew in the same transaction.
 */
export function ensureChain(host: NetworkNamespace, batch: Batch, wanted: FixedChain): void {
  const { chain, sets, rules } = wanted;
  if (isComplete(host, wanted)) return;
  batch.addTable(chain.table);
  for (const set of sets) batch.addSet(set);
  batch.addChain(chain);
  batch.flushChain(chain);
  for (const [purpose, ...statements] of rules)
    batch.addRule({ table: chain.table, chain: chain.name, statements, comment: purpose });
}

/** Whether the chain has exactly its rules, which is what CHECK asks. */
export function isComplete(host: NetworkNamespace, { chain, rules }: FixedChain): boolean {
  const present = presentRules(host, chain);
  return present.length === rules.length && rules.every(([purpose], at) => present[at] === purpose);
}

/** Asks the kernel whether it could make the chain, and changes nothing. @throws NftablesError that names what it lacks */
export function rehearseChain(host: NetworkNamespace, wanted: FixedChain): void {
  if (!isComplete(host, wanted)) rehearse(host, (batch) => ensureChain(host, batch, wanted));
}

/** Keeps in `failures` what of the chain is not there, by name. */
export function checkChain(host: NetworkNamespace, failures: Failures, wanted: FixedChain): void {
  if (isComplete(host, wanted)) return;
  const { chain, rules } = wanted;
  failures.attempt(`check chain "${chainText(chain)}"`, () => {
    if (!host.nftables.chains(chain.table).some(({ name }) => name === chain.name)) throw new Error("it does not exist");
    const present = presentRules(host, chain);
    const missing = rules.filter(([purpose]) => !present.includes(purpose)).map(([purpose]) => `"${purpose}"`);
    if (missing.length > 0) throw new Error(`it lacks the rule ${missing.join(", ")}`);
    throw new Error(`it has ${present.length} rules, expected ${rules.length} in their order`);
  });
}

function presentRules(host: NetworkNamespace, { name, table }: Chain): readonly (string | undefined)[] {
  return host.nftables.ruleComments(table).get(name) ?? [];
}
