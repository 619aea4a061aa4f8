import { type Table, tableText } from "../netlink/netfilter/table.ts";

/** Everything podlink has in nf_tables is in these two tables; it touches nobody else's. */
export const podlinkTable: Table = {
  family: "inet",
  name: "podlink",
  comment: "made by podlink; it makes again what is missing",
};

/** For frames that a bridge passes on by itself. */
export const podlinkBridgeTable: Table = {
  family: "bridge",
  name: "podlink",
  comment: "made by podlink; it makes again what is missing",
};

/** Whether a table is among those there are (link/nftables.ts has their names): what is not there need not be looked into. */
export function isAmong(present: ReadonlySet<string>, table: Table): boolean {
  return present.has(tableText(table));
}
