import { be32, be64, text } from "../codec.ts";
import { familyName, NFPROTO, netfilterMessage, type TableFamily } from "./message-types.ts";
import { comment } from "./userdata.ts";

/** A table by what it is called. */
export interface Table {
  readonly family: TableFamily;
  readonly name: string;
  readonly comment?: string | undefined;
}

/** A table the kernel has. */
export interface TableEntry extends Table {
  readonly handle: bigint | undefined;
  /** How many chains, sets and other objects are in it. */
  readonly use: number | undefined;
}

/** enum nft_table_attributes. */
export const tableMessage = netfilterMessage({
  name: [1, "NFTA_TABLE_NAME", text],
  flags: [2, "NFTA_TABLE_FLAGS", be32],
  use: [3, "NFTA_TABLE_USE", be32],
  handle: [4, "NFTA_TABLE_HANDLE", be64],
  comment: [6, "NFTA_TABLE_USERDATA", comment],
});

/** `inet podlink`. */
export function tableText(table: Table): string {
  return `${table.family} ${table.name}`;
}

export function encodeTable(table: Table): Uint8Array {
  return tableMessage.encode({ family: NFPROTO[table.family], name: table.name, flags: 0, comment: table.comment });
}

export function decodeTable(body: Uint8Array): TableEntry {
  const { family, name = "", handle, use, comment: words } = tableMessage.decode(body);
  return { family: familyName(family), name, comment: words, handle, use };
}
