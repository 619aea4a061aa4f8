import { reason } from "../support/errors.ts";
import { type Codec, type FixedCodec, joined, type ValueOf } from "./codec.ts";

// linux/netlink.h: struct nlattr is u16 length (header included), u16 type; payloads are padded to 4 bytes.
const NLA_HDRLEN = 4;
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;

/** One row of an attribute table: the kernel's number and name, and how the payload is read and written. */
export type Attribute<T> = readonly [type: number, kernelName: string, codec: Codec<T>];

/** An attribute the table does not know, kept as it came. */
export interface UnknownAttribute {
  readonly type: number;
  readonly data: Uint8Array;
}

export type AttributesOf<T extends Record<string, Attribute<unknown>>> = {
  [K in keyof T]?: ValueOf<T[K][2]> | undefined;
} & { unknownAttributes?: UnknownAttribute[] | undefined };

/** Rounds up to the 4 bytes netlink aligns everything to. */
export function align4(length: number): number {
  return (length + 3) & ~3;
}

/**
 * One table gives encoder, decoder and type of a nest of attributes. Absent and undefined values are not written;
 * the order written is the table's. Errors name the attribute.
 */
export function attributes<T extends Record<string, Attribute<unknown>>>(table: T): Codec<AttributesOf<T>> {
  // Made at the first use: a call needs few of the tables there are
  let index: Map<number, { key: string; row: Attribute<unknown> }> | undefined;
  const byType = () => (index ??= new Map(Object.entries(table).map(([key, row]) => [row[0], { key, row }])));
  return {
    nested: true,
    encode(value) {
      const parts: Uint8Array[] = [];
      const siblings = value as Readonly<Record<string, unknown>>;
      for (const key in table) {
        const [type, kernelName, codec] = table[key] as Attribute<unknown>;
        const field = siblings[key];
        if (field === undefined) continue;
        try {
          appendAttribute(parts, codec.nested === true ? type | NLA_F_NESTED : type, codec.encode(field, siblings));
        } catch (error) {
          throw new RangeError(`Cannot encode ${kernelName}: ${reason(error)}`, { cause: error });
        }
      }
      for (const { type, data } of value.unknownAttributes ?? []) appendAttribute(parts, type, data);
      return joined(parts);
    },
    decode(bytes) {
      const value: Record<string, unknown> = {};
      const unknownAttributes: UnknownAttribute[] = [];
      walkAttributes(bytes, (type, data) => {
        const known = byType().get(type & NLA_TYPE_MASK);
        if (known === undefined) {
          unknownAttributes.push({ type, data: new Uint8Array(data) });
          return;
        }
        const [, kernelName, codec] = known.row;
        try {
          value[known.key] = codec.decode(data, value);
        } catch (error) {
          throw new RangeError(`Cannot decode ${kernelName}: ${reason(error)}`, { cause: error });
        }
      });
      if (unknownAttributes.length > 0) value.unknownAttributes = unknownAttributes;
      return value as AttributesOf<T>;
    },
  };
}

/** What nla_len can say. */
const LONGEST = 0xffff;

/** Header and padding of one attribute around its payload. */
function appendAttribute(parts: Uint8Array[], type: number, payload: Uint8Array): void {
  const length = NLA_HDRLEN + payload.length;
  if (length > LONGEST) throw new RangeError(`Cannot write an attribute: it has ${length} bytes, ${LONGEST} at most`);
  const bytes = new Uint8Array(align4(length));
  bytes[0] = length;
  bytes[1] = length >> 8;
  bytes[2] = type;
  bytes[3] = type >> 8;
  bytes.set(payload, NLA_HDRLEN);
  parts.push(bytes);
}

/** Calls `visit` with type and payload of each attribute; payloads are views of `bytes`. @throws RangeError when a length does not fit */
function walkAttributes(bytes: Uint8Array, visit: (type: number, data: Uint8Array) => void): void {
  const end = bytes.length;
  for (let at = 0; at + NLA_HDRLEN <= end; ) {
    const length = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
    if (length < NLA_HDRLEN || at + length > end) {
      throw new RangeError(`Cannot read an attribute at byte ${at}: length ${length} of ${end - at} bytes left`);
    }
    visit((bytes[at + 2] ?? 0) | ((bytes[at + 3] ?? 0) << 8), bytes.subarray(at + NLA_HDRLEN, at + length));
    at += align4(length);
  }
}

/** The same attribute several times over, each one element of an array (bridge VLANs, next hops). */
export function repeated<T>(type: number, kernelName: string, codec: Codec<T>): Codec<T[]> {
  return {
    nested: true,
    encode(values) {
      const parts: Uint8Array[] = [];
      for (const value of values) appendAttribute(parts, listType(codec, type), codec.encode(value));
      return joined(parts);
    },
    decode(bytes) {
      const values: T[] = [];
      walkAttributes(bytes, (found, data) => {
        if ((found & NLA_TYPE_MASK) !== type) return;
        try {
          values.push(codec.decode(data));
        } catch (error) {
          throw new RangeError(`Cannot decode ${kernelName}: ${reason(error)}`, { cause: error });
        }
      });
      return values;
    },
  };
}

/** An array of nests or values whose attribute types say nothing: written as 1, 2, 3…, any are read. */
export function listed<T>(kernelName: string, codec: Codec<T>): Codec<T[]> {
  return {
    nested: true,
    encode(values) {
      const parts: Uint8Array[] = [];
      for (const [at, value] of values.entries()) appendAttribute(parts, listType(codec, at + 1), codec.encode(value));
      return joined(parts);
    },
    decode(bytes) {
      const values: T[] = [];
      walkAttributes(bytes, (_, data) => {
        try {
          values.push(codec.decode(data));
        } catch (error) {
          throw new RangeError(`Cannot decode ${kernelName}: ${reason(error)}`, { cause: error });
        }
      });
      return values;
    },
  };
}

function listType(codec: Codec<unknown>, type: number): number {
  return codec.nested === true ? type | NLA_F_NESTED : type;
}

/**
 * Which attribute stands at `offset`, from the outermost inwards: the kernel's types, and the place of each among its siblings.
 * It is what NLMSGERR_ATTR_OFFS of a refusal means.
 */
export function attributePathAt(bytes: Uint8Array, offset: number): { type: number; index: number }[] {
  let index = -1;
  let path: { type: number; index: number }[] = [];
  walkAttributes(bytes, (type, data) => {
    index++;
    const start = data.byteOffset - bytes.byteOffset;
    if (offset < start - NLA_HDRLEN || offset >= start + align4(data.length)) return;
    path = [{ type: type & NLA_TYPE_MASK, index }];
    if ((type & NLA_F_NESTED) !== 0) path.push(...attributePathAt(data, offset - start));
  });
  return path;
}

export type StructOf<F extends Record<string, FixedCodec<unknown>>> = { [K in keyof F]: ValueOf<F[K]> };

/** A C struct of fixed-size fields in order; fields left out are written as zero. Padding is a field of its own. */
export function struct<F extends Record<string, FixedCodec<unknown>>>(
  fields: F,
): FixedCodec<Partial<StructOf<F>>> & Codec<StructOf<F>> {
  const rows = Object.entries(fields);
  const size = rows.reduce((sum, [, codec]) => sum + codec.size, 0);
  return {
    size,
    zero: {} as StructOf<F>,
    encode(value: Partial<StructOf<F>>) {
      return joined(rows.map(([key, codec]) => codec.encode((value as Record<string, unknown>)[key] ?? codec.zero)));
    },
    decode(bytes: Uint8Array) {
      const value: Record<string, unknown> = {};
      let at = 0;
      for (const [key, codec] of rows) {
        value[key] = codec.decode(bytes.subarray(at, at + codec.size));
        at += codec.size;
      }
      return value as StructOf<F>;
    },
  };
}

/** A fixed header followed by attributes, as every rtnetlink message is; flattened into one value. */
export interface MessageFormat<H, A> {
  encode(value: Partial<H> & A): Uint8Array;
  decode(bytes: Uint8Array): H & A;
}

export function messageFormat<F extends Record<string, FixedCodec<unknown>>, T extends Record<string, Attribute<unknown>>>(
  fields: F,
  table: T,
): MessageFormat<StructOf<F>, AttributesOf<T>> {
  const header = struct(fields);
  const body = attributes(table);
  const headerLength = align4(header.size);
  return {
    encode: (value) => joined([header.encode(value), new Uint8Array(headerLength - header.size), body.encode(value)]),
    decode(bytes) {
      if (bytes.length < header.size) throw new RangeError(`${bytes.length} bytes, expected at least ${header.size}`);
      return { ...(header.decode(bytes) as StructOf<F>), ...body.decode(bytes.subarray(headerLength)) };
    },
  };
}
