import type { NetworkNamespace } from "../link/namespace.ts";
import { transaction } from "../link/nftables.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";

/**
 * Something of an attachment that comes into nf_tables, or goes. Several go together in one transaction, whichever plugin types they
 * come from: one connection, one commit of the kernel's, and none of them alone.
 */
export interface RulesetChange {
  /** Puts it into a batch by what it reads; called again when somebody else changed something in between. */
  readonly put: (batch: Batch) => void;
  /** What follows when it is committed. */
  readonly finish?: () => void;
}

/** Makes all of the changes, or none. @throws NftablesError, and what their `put` throws */
export function changeRuleset(host: NetworkNamespace, changes: readonly RulesetChange[]): void {
  if (changes.length === 0) return;
  transaction(host, (batch) => {
    for (const { put } of changes) put(batch);
  });
  for (const { finish } of changes) finish?.();
}
