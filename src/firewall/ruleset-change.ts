import type { NetworkNamespace } from "../link/namespace.ts";
import { tableNames, transaction } from "../link/nftables.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";

/**
 * Something of an attachment that comes into nf_tables, or goes. Several go together in one transaction, whichever plugin types they
 * come from: one connection, one commit of the kernel's, and none of them alone.
 */
export interface RulesetChange {
  /** Puts it into a batch by what it reads; called again when somebody else changed something in between. */
  readonly put: (batch: Batch) => void;
  /** What must have been done when it is committed, and can be done again: whoever is killed before finds in nf_tables what asks for it. */
  readonly prepare?: () => void;
  /** What follows when it is committed. */
  readonly finish?: () => void;
}

/** Makes all of the changes, or none. @throws NftablesError, and what their `put` throws */
export function changeRuleset(host: NetworkNamespace, changes: readonly RulesetChange[]): void {
  if (changes.length === 0) return;
  transaction(host, (batch) => {
    for (const { put } of changes) put(batch);
    for (const { prepare } of changes) prepare?.();
  });
  for (const { finish } of changes) finish?.();
}

/**
 * Makes changes that only remove something. Where there is no table nothing is there to go, but what follows is done all the same.
 * @param removals is told the names of the tables there are
 * @returns them
 */
export function clearRuleset(
  host: NetworkNamespace,
  removals: (present: ReadonlySet<string>) => readonly RulesetChange[],
): ReadonlySet<string> {
  const present = tableNames(host);
  const changes = removals(present);
  if (present.size > 0) changeRuleset(host, changes);
  else for (const { finish } of changes) finish?.();
  return present;
}
