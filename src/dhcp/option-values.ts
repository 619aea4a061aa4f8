import { Address } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";

// Values of options to what they mean. undefined stands for a malformed value, which is as good as an absent option.

/** A destination and the router to it; no router means that it is on the link. */
export interface LeaseRoute {
  readonly destination: Prefix;
  readonly gateway: Address | undefined;
}

/** One address. */
export function readAddress(value: Uint8Array | undefined): Address | undefined {
  return value?.length === 4 ? Address.fromBytes(value) : undefined;
}

/** One address or more. */
export function readAddresses(value: Uint8Array | undefined): Address[] | undefined {
  if (value === undefined || value.length === 0 || value.length % 4 !== 0) return undefined;
  return chunks(value, 4).map((bytes) => Address.fromBytes(bytes));
}

function chunks(value: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: value.length / size }, (_, i) => value.subarray(i * size, (i + 1) * size));
}

/** A number in network order, of exactly `size` bytes. */
export function readNumber(value: Uint8Array | undefined, size: 1 | 2 | 4): number | undefined {
  if (value?.length !== size) return undefined;
  return value.reduce((number, byte) => number * 256 + byte, 0);
}

export function writeNumber(value: number, size: 1 | 2 | 4): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => Math.floor(value / 256 ** (size - 1 - i)) % 256);
}

/** Text without the NULs that some servers end it with. */
export function readText(value: Uint8Array | undefined): string | undefined {
  if (value === undefined) return undefined;
  const text = new TextDecoder().decode(value).replace(/\0+$/, "");
  return text === "" ? undefined : text;
}

/** A name of domains, without a dot at its end. It is going to stand in resolv.conf, so it is letters, digits, `-` and `_` alone. */
export function domainName(text: string | undefined): string | undefined {
  const name = text?.trim().replace(/\.$/, "") ?? "";
  const labels = name.split(".");
  return name.length <= 253 && labels.every((label) => /^[A-Za-z0-9_]([\w-]{0,61}[A-Za-z0-9_])?$/.test(label)) ? name : undefined;
}

/** Bits of a mask as option 1 has it; undefined when its ones do not stand together, or there are none. */
export function maskLength(mask: Address): number | undefined {
  const zeros = (~mask.value & 0xffffffffn) + 1n; // a power of two for a proper mask
  if ((zeros & (zeros - 1n)) !== 0n || mask.value === 0n) return undefined;
  return 32 - (zeros.toString(2).length - 1);
}

/** The prefix length an address had before CIDR: class A 8, B 16, C 24; undefined for multicast and beyond. */
export function classLength(address: Address): number | undefined {
  const first = Number(address.value >> 24n);
  return first < 128 ? 8 : first < 192 ? 16 : first < 224 ? 24 : undefined;
}

/** Option 121, RFC 3442: prefix length, as many bytes of the destination as it needs, router; 0.0.0.0 is "on the link". */
export function readClasslessRoutes(value: Uint8Array | undefined): LeaseRoute[] | undefined {
  if (value === undefined || value.length < 5) return undefined;
  const routes: LeaseRoute[] = [];
  for (let at = 0; at < value.length; ) {
    const length = value[at++] ?? 0;
    const significant = Math.ceil(length / 8);
    if (length > 32 || at + significant + 4 > value.length) return undefined;
    const destination = new Uint8Array(4);
    destination.set(value.subarray(at, at + significant));
    at += significant;
    const router = Address.fromBytes(value.subarray(at, at + 4));
    at += 4;
    routes.push({
      destination: new Prefix(Address.fromBytes(destination), length).network(), // RFC 3442: bits beyond the length are to be dropped
      gateway: router.value === 0n ? undefined : router,
    });
  }
  return routes;
}

/**
 * Option 33: pairs of destination and router. The destination's class gives its length; one with bits beyond that is a host.
 * The default route must not be here (RFC 2132 section 5.8), so it is skipped.
 */
export function readStaticRoutes(value: Uint8Array | undefined): LeaseRoute[] | undefined {
  if (value === undefined || value.length === 0 || value.length % 8 !== 0) return undefined;
  return chunks(value, 8).flatMap((pair) => {
    const destination = Address.fromBytes(pair.subarray(0, 4));
    const gateway = Address.fromBytes(pair.subarray(4));
    const length = classLength(destination);
    if (length === undefined || destination.value === 0n || gateway.value === 0n) return [];
    const network = new Prefix(destination, length).network();
    return [{ destination: network.address.equals(destination) ? network : Prefix.host(destination), gateway }];
  });
}

const POINTER = 0xc0;

/** Option 119, RFC 3397: names in DNS's compressed form (RFC 1035 section 4.1.4). Names that cannot stand in resolv.conf are left out. */
export function readDomainSearch(value: Uint8Array | undefined): string[] | undefined {
  if (value === undefined || value.length === 0) return undefined;
  const names: string[] = [];
  for (let at = 0; at < value.length; ) {
    const name = readName(value, at);
    if (name === undefined) return undefined;
    const usable = domainName(name.text);
    if (usable !== undefined && !names.includes(usable)) names.push(usable);
    at = name.end;
  }
  return names;
}

/** RFC 1035 section 2.3.4 gives a name 255 bytes; more labels or pointers than this are an attack. */
const MAX_STEPS = 128;

/** The name that starts at `start`, and where the next one does. */
function readName(value: Uint8Array, start: number): { text: string; end: number } | undefined {
  const labels: string[] = [];
  let end: number | undefined;
  let at = start;
  for (let step = 0; step < MAX_STEPS; step++) {
    const length = value[at++];
    if (length === undefined) return undefined;
    if (length === 0) return { text: labels.join("."), end: end ?? at };
    if ((length & POINTER) === POINTER) {
      const low = value[at++];
      if (low === undefined) return undefined;
      end ??= at;
      at = (length & ~POINTER) * 256 + low;
      continue;
    }
    if ((length & POINTER) !== 0 || at + length > value.length) return undefined;
    labels.push(String.fromCharCode(...value.subarray(at, at + length)));
    at += length;
  }
  return undefined;
}
