import type { NameParts } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import type { Table } from "../netlink/netfilter/table.ts";
import { sha512 } from "../support/sha512.ts";
import { isAmong } from "./table.ts";

// What the reference's bridge plugin left in nf_tables for an attachment that podlink is to delete: a node moves from one to the other
// while containers run. Its rules are known by their comments, its chains by their names.

const masqueradeTable: Table = { family: "inet", name: "cni_plugins_masquerade" };
const spoofTable: Table = { family: "bridge", name: "nat" };

/** Deletes it; @param options.present names of the tables there are, so that usually nothing is to be read */
export function deleteReferenceRules(
  host: NetworkNamespace,
  batch: Batch,
  options: { attachment: NameParts; present: ReadonlySet<string> },
): void {
  const { attachment, present } = options;
  if (isAmong(present, masqueradeTable)) {
    const owner = masqueradeOwner(attachment);
    deleteRules(host, batch, { table: masqueradeTable, chain: "masq_checks", goes: (comment) => comment.startsWith(owner) });
  }
  if (isAmong(present, spoofTable)) deleteSpoofRules(host, batch, attachment);
}

function masqueradeOwner({ network, containerId, ifname }: NameParts): string {
  return `${sha512(network).slice(0, 16)}-${sha512(`${ifname}:${containerId}`).slice(0, 16)}`;
}

function deleteSpoofRules(host: NetworkNamespace, batch: Batch, { containerId, ifname }: NameParts): void {
  const owner = `macspoofchk-${containerId}-${ifname}`;
  deleteRules(host, batch, { table: spoofTable, chain: "PREROUTING", goes: (comment) => comment === owner });
  const first = `cni-br-iface-${containerId}-${ifname}`;
  const names = new Set(host.nftables.chains(spoofTable).map(({ name }) => name));
  // The first one jumps to the other
  const chains = [first, `${first}-mac`].filter((name) => names.has(name)).map((name) => ({ table: spoofTable, name }));
  for (const chain of chains) batch.flushChain(chain, { ifPresent: true });
  for (const chain of chains) batch.deleteChain(chain, { ifPresent: true });
}

function deleteRules(
  host: NetworkNamespace,
  batch: Batch,
  options: { table: Table; chain: string; goes: (comment: string) => boolean },
): void {
  const { table, chain, goes } = options;
  for (const rule of host.nftables.rules({ table, name: chain })) {
    if (goes(rule.comment ?? "")) batch.deleteRule(rule, { ifPresent: true });
  }
}
