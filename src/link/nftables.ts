import { Batch } from "../netlink/netfilter/batch.ts";
import { type Table, tableText } from "../netlink/netfilter/table.ts";
import { isErrno } from "../sys/errno.ts";
import type { NetworkNamespace } from "./namespace.ts";
import { takeTurn } from "./namespace-lock.ts";

/** Makes the changes of a batch in a namespace, all or none, as one step; an empty batch is no step. @throws NftablesError */
export function applyBatch(namespace: NetworkNamespace, batch: Batch, options: { generation?: number } = {}): void {
  if (batch.operations.length === 0) return;
  namespace.change(batch.command, () => namespace.nftables.commit(batch, options));
}

/**
 * Reads, decides and changes as if nobody else did meanwhile: `build` fills a batch from what it reads of `namespace.nftables`, and is
 * called again when somebody else changed something in between. Of many calls at once all but one would start again, so they take turns.
 */
export function transaction(namespace: NetworkNamespace, build: (batch: Batch) => void): void {
  using _turn = takeTurn(namespace);
  namespace.nftables.transaction(
    () => {
      const batch = new Batch();
      build(batch);
      return batch;
    },
    (batch, generation) => applyBatch(namespace, batch, { generation }),
  );
}

/** Has the kernel say whether it would make these changes, and changes nothing. @throws NftablesError that says what it would refuse */
export function rehearse(namespace: NetworkNamespace, build: (batch: Batch) => void): void {
  const batch = new Batch();
  build(batch);
  namespace.nftables.commit(batch, { rehearse: true });
}

/** The tables there are, as `inet podlink`; none where the kernel has no nf_tables, so that nobody can have made any. */
export function tableNames(namespace: NetworkNamespace): ReadonlySet<string> {
  return new Set(readTables(namespace).map(tableText));
}

function readTables(namespace: NetworkNamespace): readonly Table[] {
  try {
    return namespace.nftables.tables();
  } catch (error) {
    // No netlink family for it, no such subsystem of the family, or a kernel that is none and knows neither
    const cause = error instanceof Error ? (error.cause ?? error) : error;
    if (isErrno(cause, "EPROTONOSUPPORT", "EINVAL", "EOPNOTSUPP")) return [];
    throw error;
  }
}
