import { Address } from "../ip/address.ts";
import { formatMac, parseMac } from "../ip/mac.ts";

// Netlink speaks the host's byte order, which is little endian wherever podlink runs (amd64, arm64);
// what is big endian on the wire says so in its codec's name.

/** Bytes to value and back. `siblings` are the attributes of the same nest read or written so far (choose() looks at them). */
export interface Codec<T> {
  encode(value: T, siblings?: Readonly<Record<string, unknown>>): Uint8Array;
  /** @throws RangeError on a length that cannot be */
  decode(bytes: Uint8Array, siblings?: Readonly<Record<string, unknown>>): T;
  /** Carries NLA_F_NESTED. */
  readonly nested?: boolean;
}

/** A codec whose bytes are always `size` many: what a struct is made of. */
export interface FixedCodec<T> extends Codec<T> {
  readonly size: number;
  readonly zero: T;
}

export type ValueOf<C> = C extends Codec<infer T> ? T : never;

/** A Buffer over the same memory. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Several byte strings as one. Buffer.concat() checks each of them in JavaScript, which in a process that has just started takes longer than the copying. */
export function joined(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const all = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Bytes of a whole number up to 32 bits, written and read here: Buffer's methods take several calls each to get there. */
function integer(size: number, options: { signed?: boolean; bigEndian?: boolean } = {}): FixedCodec<number> {
  const { signed = false, bigEndian = false } = options;
  const bits = size * 8;
  const [min, max] = signed ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
  return {
    size,
    zero: 0,
    encode(value) {
      if (!(Number.isInteger(value) && value >= min && value <= max)) {
        throw new RangeError(`${value} is not a whole number from ${min} to ${max}`);
      }
      const bytes = new Uint8Array(size);
      for (let at = 0; at < size; at++) bytes[bigEndian ? size - 1 - at : at] = value >>> (8 * at);
      return bytes;
    },
    decode(bytes) {
      expectLength(bytes, size);
      let value = 0;
      for (let at = 0; at < size; at++) value |= (bytes[bigEndian ? size - 1 - at : at] ?? 0) << (8 * at);
      return signed ? value : value >>> 0;
    },
  };
}

function long(options: { bigEndian?: boolean } = {}): FixedCodec<bigint> {
  const littleEndian = options.bigEndian !== true;
  return {
    size: 8,
    zero: 0n,
    encode(value) {
      if (value < 0n || value >= 1n << 64n) throw new RangeError(`${value} is not a whole number of 64 bits`);
      const bytes = new Uint8Array(8);
      new DataView(bytes.buffer).setBigUint64(0, value, littleEndian);
      return bytes;
    },
    decode(bytes) {
      expectLength(bytes, 8);
      return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, littleEndian);
    },
  };
}

function expectLength(bytes: Uint8Array, size: number): void {
  if (bytes.length < size) throw new RangeError(`${bytes.length} bytes, expected ${size}`);
}

export const u8 = integer(1);
export const u16 = integer(2);
export const u32 = integer(4);
export const i32 = integer(4, { signed: true });
export const u64 = long();
export const be16 = integer(2, { bigEndian: true });
export const be32 = integer(4, { bigEndian: true });
export const be32Signed = integer(4, { signed: true, bigEndian: true });
export const be64 = long({ bigEndian: true });

/** A number on the wire that has a name: read as the name, or as the number where the table has none. */
export function named<N extends string>(codec: Codec<number>, numbers: Readonly<Record<N, number>>): Codec<N | number> {
  return {
    encode: (value) => codec.encode(typeof value === "number" ? value : numbers[value]),
    decode(bytes) {
      const number = codec.decode(bytes);
      for (const name in numbers) if (numbers[name] === number) return name;
      return number;
    },
  };
}

/** A byte that is 0 or 1. */
export const bool8: Codec<boolean> = {
  encode: (value) => u8.encode(value ? 1 : 0),
  decode: (bytes) => u8.decode(bytes) !== 0,
};

/** NUL-terminated text. */
export const text: Codec<string> = {
  encode: (value) => Buffer.from(`${value}\0`, "utf8"),
  decode(bytes) {
    const end = bytes.indexOf(0);
    return bufferOf(end < 0 ? bytes : bytes.subarray(0, end)).toString("utf8");
  },
};

/** Bytes as they are; a copy, since the receive buffer is used again. */
export const bytes: Codec<Uint8Array> = { encode: (value) => value, decode: (value) => new Uint8Array(value) };

/** An attribute without a payload: present is true. */
export const flag: Codec<true> = { encode: () => new Uint8Array(0), decode: () => true };

/** Six bytes as `c2:11:22:33:44:55`; other lengths (tunnels, IPoIB) are read too. */
export const mac: Codec<string> = { encode: parseMac, decode: formatMac };

/** 4 or 16 bytes, network order. */
export const ip: Codec<Address> = { encode: (value) => value.toBytes(), decode: (value) => Address.fromBytes(value) };

/** Picks the codec by the value of an attribute that stands before this one in the same nest; unknown: raw bytes. */
export function choose<C extends Record<string, Codec<unknown>>>(
  sibling: string,
  codecs: C,
): Codec<ValueOf<C[keyof C]> | Uint8Array> {
  function pick(siblings: Readonly<Record<string, unknown>> | undefined): Codec<unknown> {
    return codecs[String(siblings?.[sibling])] ?? bytes;
  }
  return {
    nested: true,
    encode: (value, siblings) => (value instanceof Uint8Array ? value : pick(siblings).encode(value)),
    decode: (value, siblings) => pick(siblings).decode(value) as ValueOf<C[keyof C]>,
  };
}
