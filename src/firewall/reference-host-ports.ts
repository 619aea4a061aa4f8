import type { NetworkNamespace } from "../link/namespace.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import type { Table } from "../netlink/netfilter/table.ts";
import { isAmong } from "./table.ts";

/** The reference's, with backend "nftables". */
const tables: readonly Table[] = [
  { family: "ip", name: "cni_hostport" },
  { family: "ip6", name: "cni_hostport" },
];

/**
 * Deletes what the reference's portmap plugin left in nf_tables for a container that podlink is to delete: a node moves from one to the
 * other while containers run. Its rules have the container's id for a comment, and nothing of the network.
 * @param options.present names of the tables there are, so that usually nothing is to be read
 */
export function deleteReferenceHostPorts(
  host: NetworkNamespace,
  batch: Batch,
  { containerId, present }: { containerId: string; present: ReadonlySet<string> },
): void {
  for (const table of tables.filter((each) => isAmong(present, each))) {
    for (const rule of host.nftables.rules(table)) if (rule.comment === containerId) batch.deleteRule(rule, { ifPresent: true });
  }
}
