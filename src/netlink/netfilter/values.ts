import { Address } from "../../ip/address.ts";
import { Prefix } from "../../ip/prefix.ts";
import { reason } from "../../support/errors.ts";
import { align4 } from "../attributes.ts";
import { joined } from "../codec.ts";
import { DATA_TYPES, type Scalar, type TypeName } from "./data-types.ts";

/** From first to last, both of it: ports, addresses. */
export interface Range {
  readonly first: Scalar;
  readonly last: Scalar;
}

/** One field of a key: an address, a port, a name; a prefix or a range where the set has intervals. */
export type Value = Scalar | Prefix | Range;

/** Whether the field means more than one value. */
export function isRange(value: Value): value is Prefix | Range {
  return typeof value === "object" && !(value instanceof Address);
}

/** First and last of what a field means. */
export function boundsOf(value: Value): { first: Scalar; last: Scalar } {
  if (value instanceof Prefix) return { first: value.first(), last: value.last() };
  return isRange(value) ? value : { first: value, last: value };
}

/**
 * The bytes of a key or of a map's data: each field of a concatenation is padded to 4 bytes, one field alone is not.
 * @throws RangeError that names the field
 */
export function encodeFields(types: readonly TypeName[], values: readonly Scalar[]): Uint8Array {
  if (types.length !== values.length) {
    throw new RangeError(`Cannot encode ${values.map(String).join(" . ")}: ${types.join(" . ")} has ${types.length} fields`);
  }
  const parts = types.map((name, at) => encodeField(name, values[at] ?? ""));
  return types.length === 1 ? (parts[0] ?? new Uint8Array()) : joined(parts.map(padded));
}

function encodeField(name: TypeName, value: Scalar): Uint8Array {
  try {
    return DATA_TYPES[name].encode(value);
  } catch (error) {
    throw new RangeError(`Cannot encode ${name} "${value}": ${reason(error)}`, { cause: error });
  }
}

function padded(bytes: Uint8Array): Uint8Array {
  const length = align4(bytes.length);
  if (length === bytes.length) return bytes;
  const all = new Uint8Array(length);
  all.set(bytes);
  return all;
}

/** The fields in the bytes of a key or of a map's data. */
export function decodeFields(types: readonly TypeName[], bytes: Uint8Array): Scalar[] {
  let at = 0;
  return types.map((name) => {
    const { size, decode } = DATA_TYPES[name];
    if (bytes.length < at + size) throw new RangeError(`${bytes.length} bytes, ${types.join(" . ")} has more`);
    const value = decode(bytes.subarray(at, at + size));
    at += (size + 3) & ~3;
    return value;
  });
}

/** Bytes of all fields on the wire. */
export function fieldsLength(types: readonly TypeName[]): number {
  const [only] = types;
  if (types.length === 1 && only !== undefined) return DATA_TYPES[only].size;
  return types.reduce((sum, name) => sum + ((DATA_TYPES[name].size + 3) & ~3), 0);
}

/** nft's number for the types of a concatenation: 6 bits for each. */
export function concatenatedId(types: readonly TypeName[]): number {
  return types.reduce((id, name) => ((id << 6) | DATA_TYPES[name].id) >>> 0, 0);
}

/** In nft's words: `tcp . 8080`, `10.0.0.0/24 . 80-90`. */
export function formatFields(types: readonly TypeName[], values: readonly Value[]): string {
  return values.map((value, at) => formatField(types[at], value)).join(" . ");
}

function formatField(name: TypeName | undefined, value: Value): string {
  if (value instanceof Prefix) return String(value.network());
  const format = (scalar: Scalar) => (name === undefined ? String(scalar) : DATA_TYPES[name].format(scalar));
  return isRange(value) ? `${format(value.first)}-${format(value.last)}` : format(value);
}
