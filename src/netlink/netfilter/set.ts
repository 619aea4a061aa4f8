import { attributes, repeated } from "../attributes.ts";
import { be32, be64, text, u32 } from "../codec.ts";
import { DATA_TYPES, type TypeName, typeById } from "./data-types.ts";
import { familyName, NFPROTO, netfilterMessage } from "./message-types.ts";
import { type Table, tableText } from "./table.ts";
import { commentBytes, commentText, userdata } from "./userdata.ts";
import { concatenatedId, fieldsLength } from "./values.ts";

/** A set, or a map where it has data. */
export interface NftSet {
  readonly table: Table;
  readonly name: string;
  /** One type, or several for a concatenation. */
  readonly key: readonly TypeName[];
  readonly data?: readonly TypeName[] | "verdict" | undefined;
  /** Elements may be prefixes and ranges. They must not overlap. */
  readonly interval?: boolean | undefined;
  /** It never changes; only sets without a name are so. */
  readonly constant?: boolean | undefined;
  readonly comment?: string | undefined;
}

/** A set the kernel has. `key` and `data` are undefined where they are of types this program does not know. */
export interface SetEntry extends Omit<NftSet, "key"> {
  readonly key: readonly TypeName[] | undefined;
  readonly handle: bigint | undefined;
}

/** enum nft_set_flags. */
const FLAG = { ANONYMOUS: 0x1, CONSTANT: 0x2, INTERVAL: 0x4, MAP: 0x8, CONCAT: 0x80 } as const;

/** enum nft_data_types. */
const NFT_DATA_VERDICT = 0xffffff00;

/** libnftnl/udata.h, enum nftnl_udata_set_types: what nft needs to print a set. */
const UDATA = { KEY_BYTEORDER: 0, DATA_BYTEORDER: 1, DATA_INTERVAL: 6, COMMENT: 7 } as const;

/** The name of a set that one rule brings along: the kernel puts a number in. */
const ANONYMOUS_NAME = "__set%d";

/** enum nft_set_attributes. */
export const setMessage = netfilterMessage({
  table: [1, "NFTA_SET_TABLE", text],
  name: [2, "NFTA_SET_NAME", text],
  flags: [3, "NFTA_SET_FLAGS", be32],
  keyType: [4, "NFTA_SET_KEY_TYPE", be32],
  keyLength: [5, "NFTA_SET_KEY_LEN", be32],
  dataType: [6, "NFTA_SET_DATA_TYPE", be32],
  dataLength: [7, "NFTA_SET_DATA_LEN", be32],
  id: [10, "NFTA_SET_ID", be32],
  description: [
    9,
    "NFTA_SET_DESC",
    attributes({
      size: [1, "NFTA_SET_DESC_SIZE", be32],
      fields: [2, "NFTA_SET_DESC_CONCAT", repeated(1, "NFTA_LIST_ELEM", attributes({ length: [1, "NFTA_SET_FIELD_LEN", be32] }))],
    }),
  ],
  userdata: [13, "NFTA_SET_USERDATA", userdata],
  handle: [16, "NFTA_SET_HANDLE", be64],
});

/** `inet podlink hostport4`. */
export function setText(set: Pick<NftSet, "table" | "name">): string {
  return `${tableText(set.table)} ${set.name}`;
}

/** `set` or `map`, as nft's commands have it. */
export function setKind(set: Pick<NftSet, "data">): "set" | "map" {
  return set.data === undefined ? "set" : "map";
}

/** The set as a person writes it after `add`. */
export function describeSet(set: NftSet): string {
  const types = set.data === undefined ? [] : [" : ", set.data === "verdict" ? "verdict" : set.data.join(" . ")];
  const flags = set.interval === true ? " flags interval;" : "";
  const comment = set.comment === undefined ? "" : ` comment "${set.comment}";`;
  return `${setKind(set)} ${setText(set)} { type ${set.key.join(" . ")}${types.join("")};${flags}${comment} }`;
}

/** @param options.id what lookups in the same batch name a set by whose name the kernel makes; `size` of its elements */
export function encodeSet(set: NftSet, options: { id: number; size?: number }): Uint8Array {
  const { table, key, data } = set;
  const concatenated = key.length > 1;
  const anonymous = set.name === ANONYMOUS_NAME;
  const bits =
    (anonymous ? FLAG.ANONYMOUS : 0) |
    (set.constant === true || anonymous ? FLAG.CONSTANT : 0) |
    (set.interval === true ? FLAG.INTERVAL | (concatenated ? FLAG.CONCAT : 0) : 0) |
    (data === undefined ? 0 : FLAG.MAP);
  const fields = concatenated && set.interval === true ? key.map((name) => ({ length: DATA_TYPES[name].size })) : undefined;
  return setMessage.encode({
    family: NFPROTO[table.family],
    table: table.name,
    name: set.name,
    flags: bits,
    keyType: concatenatedId(key),
    keyLength: fieldsLength(key),
    dataType: data === undefined ? undefined : data === "verdict" ? NFT_DATA_VERDICT : concatenatedId(data),
    dataLength: data === undefined ? undefined : data === "verdict" ? 0 : fieldsLength(data),
    id: options.id,
    description: fields === undefined && options.size === undefined ? undefined : { size: options.size, fields },
    userdata: describeToNft(set),
  });
}

export function anonymousSet(table: Table, key: readonly TypeName[], options: { interval?: boolean } = {}): NftSet {
  return { table, name: ANONYMOUS_NAME, key, ...options };
}

function describeToNft(set: NftSet): ReadonlyMap<number, Uint8Array> {
  const entries = new Map<number, Uint8Array>([[UDATA.KEY_BYTEORDER, u32.encode(byteorderOf(set.key))]]);
  if (set.data !== undefined) {
    entries.set(UDATA.DATA_BYTEORDER, u32.encode(set.data === "verdict" ? 0 : byteorderOf(set.data)));
    entries.set(UDATA.DATA_INTERVAL, u32.encode(0));
  }
  if (set.comment !== undefined) entries.set(UDATA.COMMENT, commentBytes(set.comment));
  return entries;
}

/** nft's BYTEORDER_INVALID for a concatenation. */
function byteorderOf(types: readonly TypeName[]): number {
  const [only, more] = types;
  return only === undefined || more !== undefined ? 0 : DATA_TYPES[only].byteorder;
}

export function decodeSet(body: Uint8Array): SetEntry {
  const message = setMessage.decode(body);
  const { flags = 0, dataType = 0, userdata: entries } = message;
  return {
    table: { family: familyName(message.family), name: message.table ?? "" },
    name: message.name ?? "",
    key: typesById(message.keyType ?? 0),
    data: (flags & FLAG.MAP) === 0 ? undefined : dataType === NFT_DATA_VERDICT ? "verdict" : typesById(dataType),
    interval: (flags & FLAG.INTERVAL) !== 0,
    constant: (flags & FLAG.CONSTANT) !== 0,
    comment: commentText(entries?.get(UDATA.COMMENT)),
    handle: message.handle,
  };
}

function typesById(id: number): TypeName[] | undefined {
  const names: TypeName[] = [];
  for (let rest = id; rest !== 0; rest >>>= 6) {
    const name = typeById(rest & 0x3f);
    if (name === undefined) return undefined;
    names.unshift(name);
  }
  return names;
}
