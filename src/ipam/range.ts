import { Address, BITS, type Family } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";

/** A range as written in a configuration; an empty text counts as absent. */
export interface RangeSpec {
  /** `10.1.2.0/24`: a network address, with at least four addresses behind it. */
  readonly subnet: string;
  /** First address to lease; without it the network's first. */
  readonly rangeStart?: string | undefined;
  /** Last address to lease; without it the network's last. */
  readonly rangeEnd?: string | undefined;
  /** Never leased, and handed out with each lease; without it the network's first address. It may lie outside of the subnet. */
  readonly gateway?: string | undefined;
}

/** Consecutive addresses of one subnet, from `start` to `end`, both included; the gateway may lie between them. Immutable. */
export class Range {
  readonly subnet: Prefix;
  readonly start: Address;
  readonly end: Address;
  readonly gateway: Address;

  private constructor(subnet: Prefix, bounds: { start: Address; end: Address; gateway: Address }) {
    this.subnet = subnet;
    this.start = bounds.start;
    this.end = bounds.end;
    this.gateway = bounds.gateway;
  }

  /**
   * Checks a range and fills in what it leaves out.
   * The network's own address and IPv4's broadcast address are left out even where rangeStart or rangeEnd names them:
   * no host can use the one, and the other reaches every neighbour.
   * @throws RangeError that says what is wrong with the range
   */
  static make(spec: RangeSpec): Range {
    const subnet = makeSubnet(spec.subnet);
    const first = subnet.first().plus(1n);
    const last = subnet.family === 4 ? subnet.last().plus(-1n) : subnet.last();
    const start = makeBound("rangeStart", spec.rangeStart, subnet) ?? first;
    const end = makeBound("rangeEnd", spec.rangeEnd, subnet) ?? last;
    if (start.compare(end) > 0) throw new RangeError(`rangeStart ${start} lies after rangeEnd ${end}`);
    const gateway = makeGateway(spec.gateway, subnet.family) ?? first;
    const bounds = { start: start.compare(first) < 0 ? first : start, end: end.compare(last) > 0 ? last : end, gateway };
    if (bounds.start.compare(bounds.end) > 0) {
      throw new RangeError(
        `no address of ${start}-${end} can be leased: it is the network or the broadcast address of ${subnet}`,
      );
    }
    return new Range(subnet, bounds);
  }

  get family(): Family {
    return this.subnet.family;
  }

  /** How many addresses can be leased; the gateway cannot. */
  get capacity(): bigint {
    return this.end.value - this.start.value + (this.contains(this.gateway) ? 0n : 1n);
  }

  contains(address: Address): boolean {
    return address.family === this.family && address.compare(this.start) >= 0 && address.compare(this.end) <= 0;
  }

  overlaps(other: Range): boolean {
    return this.contains(other.start) || other.contains(this.start);
  }

  /** `10.1.2.1-10.1.2.254` */
  toString(): string {
    return `${this.start}-${this.end}`;
  }
}

function makeSubnet(text: string): Prefix {
  const subnet = Prefix.tryParse(text);
  if (subnet === undefined) throw new RangeError(`subnet "${text}" is not in CIDR notation`);
  const longest = BITS[subnet.family] - 2;
  if (subnet.length > longest) {
    throw new RangeError(`network ${subnet} too small to allocate from: the longest prefix is /${longest}`);
  }
  if (!subnet.address.equals(subnet.first())) {
    throw new RangeError(
      `network ${subnet} has host bits set: for a mask of length ${subnet.length} the network address is ${subnet.first()}`,
    );
  }
  return subnet;
}

function makeBound(key: "rangeStart" | "rangeEnd", text: string | undefined, subnet: Prefix): Address | undefined {
  const address = makeAddress(key, text);
  if (address !== undefined && !subnet.contains(address)) throw new RangeError(`${key} ${address} not in network ${subnet}`);
  return address;
}

function makeGateway(text: string | undefined, family: Family): Address | undefined {
  const gateway = makeAddress("gateway", text);
  if (gateway !== undefined && gateway.family !== family)
    throw new RangeError(`gateway ${gateway} is not an IPv${family} address`);
  return gateway;
}

function makeAddress(key: string, text: string | undefined): Address | undefined {
  if (text === undefined || text === "") return undefined;
  const address = Address.tryParse(text);
  if (address === undefined) throw new RangeError(`${key} "${text}" is not an IP address`);
  return address;
}
