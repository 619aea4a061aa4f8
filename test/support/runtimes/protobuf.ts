// Protocol buffers (encoding as of protobuf.dev/programming-guides/encoding), as far as the Container Runtime Interface needs them.

const VARINT = 0;
const I64 = 1;
const LENGTH = 2;
const I32 = 5;

/** A field's value: text or bytes, a number that is not negative, a message (whose keys are the numbers of its fields), or several. */
export type Field = string | number | boolean | Uint8Array | Message | readonly Field[] | undefined;
export type Message = { readonly [number: number]: Field };

export function encode(message: Message): Buffer {
  return Buffer.concat(Object.entries(message).map(([number, field]) => encodeField(Number(number), field)));
}

function encodeField(number: number, field: Field): Buffer {
  if (field === undefined) return Buffer.alloc(0);
  if (Array.isArray(field)) return Buffer.concat(field.map((one) => encodeField(number, one)));
  if (typeof field === "number" || typeof field === "boolean")
    return Buffer.concat([varint((number << 3) | VARINT), varint(Number(field))]);
  const bytes = typeof field === "string" ? Buffer.from(field) : field instanceof Uint8Array ? field : encode(field as Message);
  return Buffer.concat([varint((number << 3) | LENGTH), varint(bytes.length), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 0x80);
  return Buffer.from([...bytes, rest]);
}

/** What was received, whose fields the reader knows the types of. A field that is not there is empty. */
export class Received {
  readonly #fields = new Map<number, (Uint8Array | number)[]>();

  /** @throws Error when the bytes end within a field */
  constructor(bytes: Uint8Array) {
    const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    let offset = 0;
    const read = (length: number) => {
      if (offset + length > view.length) throw new Error(`A message of ${view.length} bytes ends within a field`);
      offset += length;
      return view.subarray(offset - length, offset);
    };
    const readVarint = () => {
      let value = 0;
      for (let factor = 1; ; factor *= 128) {
        const byte = read(1).readUInt8();
        value += (byte & 0x7f) * factor;
        if (byte < 0x80) return value;
      }
    };
    while (offset < view.length) {
      const tag = readVarint();
      const kind = tag & 7;
      const value = kind === VARINT ? readVarint() : read(kind === I64 ? 8 : kind === I32 ? 4 : readVarint());
      const known = this.#fields.get(tag >> 3) ?? [];
      this.#fields.set(tag >> 3, [...known, value]);
    }
  }

  text(number: number): string {
    return this.#bytes(number).map((bytes) => Buffer.from(bytes).toString("utf8"))[0] ?? "";
  }

  number(number: number): number {
    return (this.#fields.get(number) ?? []).find((value) => typeof value === "number") ?? 0;
  }

  messages(number: number): Received[] {
    return this.#bytes(number).map((bytes) => new Received(bytes));
  }

  /** The first message, or an empty one. */
  message(number: number): Received {
    return this.messages(number)[0] ?? new Received(new Uint8Array());
  }

  #bytes(number: number): Uint8Array[] {
    return (this.#fields.get(number) ?? []).filter((value) => typeof value !== "number");
  }
}
