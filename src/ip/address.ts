export type Family = 4 | 6;

/** Bits of an address of each family. */
export const BITS = { 4: 32, 6: 128 } as const;

/** An IPv4 or IPv6 address. IPv4-mapped IPv6 text becomes IPv4, as Go's net.IP prints it. Immutable. */
export class Address {
  readonly family: Family;
  /** The address as an unsigned number of 32 or 128 bits. */
  readonly value: bigint;

  constructor(family: Family, value: bigint) {
    if (value < 0n || value >> BigInt(BITS[family]) !== 0n) {
      throw new RangeError(`Cannot make an IPv${family} address: ${value} is out of range`);
    }
    this.family = family;
    this.value = value;
  }

  /** @throws RangeError when the text is not exactly one address (no zone, no prefix length, no leading zeros) */
  static parse(text: string): Address {
    const address = Address.tryParse(text);
    if (address === undefined) throw new RangeError(`Cannot parse address "${text}": not an IPv4 or IPv6 address`);
    return address;
  }

  static tryParse(text: string): Address | undefined {
    if (!text.includes(":")) {
      const value = parseIPv4(text);
      return value === undefined ? undefined : new Address(4, value);
    }
    const value = parseIPv6(text);
    if (value === undefined) return undefined;
    return value >> 32n === 0xffffn ? new Address(4, value & 0xffffffffn) : new Address(6, value);
  }

  /** @param bytes 4 or 16 of them, network order */
  static fromBytes(bytes: Uint8Array): Address {
    if (bytes.length !== 4 && bytes.length !== 16) {
      throw new RangeError(`Cannot read an address: ${bytes.length} bytes, expected 4 or 16`);
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    if (bytes.length === 4) return new Address(4, BigInt(view.getUint32(0)));
    return new Address(6, (view.getBigUint64(0) << 64n) | view.getBigUint64(8));
  }

  toBytes(): Uint8Array {
    const bytes = new Uint8Array(BITS[this.family] / 8);
    const view = new DataView(bytes.buffer);
    if (this.family === 4) view.setUint32(0, Number(this.value));
    else {
      view.setBigUint64(0, this.value >> 64n);
      view.setBigUint64(8, this.value); // its lower half
    }
    return bytes;
  }

  equals(other: Address): boolean {
    return this.family === other.family && this.value === other.value;
  }

  /** Negative, zero or positive; IPv4 sorts before IPv6. */
  compare(other: Address): number {
    if (this.family !== other.family) return this.family - other.family;
    return this.value < other.value ? -1 : this.value > other.value ? 1 : 0;
  }

  /** The address `count` further on. @throws RangeError beyond the ends of the family */
  plus(count: bigint): Address {
    return new Address(this.family, this.value + count);
  }

  /** Canonical text: dotted quad, or RFC 5952. */
  toString(): string {
    return this.family === 4 ? this.toBytes().join(".") : formatIPv6(this.value);
  }
}

function parseIPv4(text: string): bigint | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let value = 0n;
  for (const part of parts) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = (value << 8n) | BigInt(part);
  }
  return value;
}

function parseIPv6(text: string): bigint | undefined {
  let hex = text;
  const lastColon = text.lastIndexOf(":");
  if (text.includes(".")) {
    const tail = parseIPv4(text.slice(lastColon + 1));
    if (tail === undefined) return undefined;
    hex = `${text.slice(0, lastColon + 1)}${(tail >> 16n).toString(16)}:${(tail & 0xffffn).toString(16)}`;
  }
  const halves = hex.split("::");
  if (halves.length > 2) return undefined;
  const head = groups(halves[0] ?? "");
  const tail = halves.length === 2 ? groups(halves[1] ?? "") : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  let value = 0n;
  for (const group of [...head, ...Array<number>(missing).fill(0), ...tail]) value = (value << 16n) | BigInt(group);
  return value;
}

function groups(text: string): number[] | undefined {
  if (text === "") return [];
  const parts = text.split(":");
  return parts.every((part) => /^[0-9a-fA-F]{1,4}$/.test(part)) ? parts.map((part) => Number.parseInt(part, 16)) : undefined;
}

function formatIPv6(value: bigint): string {
  const parts: string[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) parts.push(((value >> shift) & 0xffffn).toString(16));
  let start = -1;
  let length = 1; // a single zero group is not compressed
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (parts[end] === "0") end++;
    if (end - i > length) [start, length] = [i, end - i];
    if (end > i) i = end;
  }
  if (start < 0) return parts.join(":");
  return `${parts.slice(0, start).join(":")}::${parts.slice(start + length).join(":")}`;
}
