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

function fixed<T>(
  size: number,
  zero: T,
  io: { write: (buffer: Buffer, value: T) => void; read: (buffer: Buffer) => T },
): FixedCodec<T> {
  return {
    size,
    zero,
    encode(value) {
      const buffer = Buffer.alloc(size);
      io.write(buffer, value);
      return buffer;
    },
    decode(bytes) {
      if (bytes.length < size) throw new RangeError(`${bytes.length} bytes, expected ${size}`);
      return io.read(bufferOf(bytes));
    },
  };
}

export const u8 = fixed<number>(1, 0, { write: (b, v) => b.writeUInt8(v), read: (b) => b.readUInt8() });
export const u16 = fixed<number>(2, 0, { write: (b, v) => b.writeUInt16LE(v), read: (b) => b.readUInt16LE() });
export const u32 = fixed<number>(4, 0, { write: (b, v) => b.writeUInt32LE(v), read: (b) => b.readUInt32LE() });
export const i32 = fixed<number>(4, 0, { write: (b, v) => b.writeInt32LE(v), read: (b) => b.readInt32LE() });
export const u64 = fixed<bigint>(8, 0n, { write: (b, v) => b.writeBigUInt64LE(v), read: (b) => b.readBigUInt64LE() });
export const be16 = fixed<number>(2, 0, { write: (b, v) => b.writeUInt16BE(v), read: (b) => b.readUInt16BE() });
export const be32 = fixed<number>(4, 0, { write: (b, v) => b.writeUInt32BE(v), read: (b) => b.readUInt32BE() });
export const be32Signed = fixed<number>(4, 0, { write: (b, v) => b.writeInt32BE(v), read: (b) => b.readInt32BE() });
export const be64 = fixed<bigint>(8, 0n, { write: (b, v) => b.writeBigUInt64BE(v), read: (b) => b.readBigUInt64BE() });

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
