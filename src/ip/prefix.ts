import { Address, BITS, type Family } from "./address.ts";

/** An address with the length of its network, `10.1.2.3/24`. Host bits are kept. Immutable. */
export class Prefix {
  readonly address: Address;
  /** Bits of the network part. */
  readonly length: number;

  constructor(address: Address, length: number) {
    if (!Number.isInteger(length) || length < 0 || length > BITS[address.family]) {
      throw new RangeError(`Cannot make a prefix of ${address}: length ${length} is not in 0..${BITS[address.family]}`);
    }
    this.address = address;
    this.length = length;
  }

  /** @throws RangeError when the text is not `<address>/<length>` */
  static parse(text: string): Prefix {
    const prefix = Prefix.tryParse(text);
    if (prefix === undefined) throw new RangeError(`Cannot parse prefix "${text}": not <address>/<length>`);
    return prefix;
  }

  static tryParse(text: string): Prefix | undefined {
    const slash = text.indexOf("/");
    if (slash < 0 || !/^(0|[1-9][0-9]{0,2})$/.test(text.slice(slash + 1))) return undefined;
    const address = Address.tryParse(text.slice(0, slash));
    if (address === undefined) return undefined;
    const mapped = address.family === 4 && text.includes(":") ? 96 : 0;
    const length = Number(text.slice(slash + 1)) - mapped;
    return length < 0 || length > BITS[address.family] ? undefined : new Prefix(address, length);
  }

  /** The prefix that holds this one address alone: /32 or /128. */
  static host(address: Address): Prefix {
    return new Prefix(address, BITS[address.family]);
  }

  get family(): Family {
    return this.address.family;
  }

  get #hostMask(): bigint {
    return (1n << BigInt(BITS[this.family] - this.length)) - 1n;
  }

  /** The network address: host bits zero. */
  first(): Address {
    return new Address(this.family, this.address.value & ~this.#hostMask);
  }

  /** The last address of the network: host bits one (IPv4's broadcast address). */
  last(): Address {
    return new Address(this.family, this.address.value | this.#hostMask);
  }

  /** The same network without host bits. */
  network(): Prefix {
    return new Prefix(this.first(), this.length);
  }

  contains(address: Address): boolean {
    return address.family === this.family && (address.value | this.#hostMask) === this.last().value;
  }

  overlaps(other: Prefix): boolean {
    return this.contains(other.first()) || other.contains(this.first());
  }

  equals(other: Prefix): boolean {
    return this.length === other.length && this.address.equals(other.address);
  }

  toString(): string {
    return `${this.address}/${this.length}`;
  }
}
