import type { Dns, Result, Route } from "../cni/result.ts";
import type { Address } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import type { Message } from "./message.ts";
import { OPTION, type OptionName } from "./option-codes.ts";
import {
  classLength,
  domainName,
  type LeaseRoute,
  maskLength,
  readAddress,
  readAddresses,
  readClasslessRoutes,
  readDomainSearch,
  readNumber,
  readStaticRoutes,
  readText,
} from "./option-values.ts";

/** What a server gave. Times are milliseconds of the clock its client is driven with, Infinity for a lease without end. */
export interface Lease {
  /** The container's address with its network's length. */
  readonly address: Prefix;
  /** Option 3, the best one first. */
  readonly routers: readonly Address[];
  /** Option 54: whom to renew with. */
  readonly server: Address;
  /** When the REQUEST it answers was sent: what the times are counted from (RFC 2131 section 4.4.1). */
  readonly startsAt: number;
  /** T1: renew with the server. */
  readonly renewAt: number;
  /** T2: ask any server. */
  readonly rebindAt: number;
  readonly expiresAt: number;
  /** All routes but that of the address's own network. */
  readonly routes: readonly LeaseRoute[];
  readonly nameservers: readonly Address[];
  readonly domain: string | undefined;
  readonly search: readonly string[];
  /** Option 26. */
  readonly mtu: number | undefined;
}

const INFINITE = 0xffffffff;
/** The reference's, for servers that leave out what they must say. */
const DEFAULT_SECONDS = 3600;
/** RFC 2132 section 5.1. */
const MIN_MTU = 68;

/**
 * The lease that an OFFER or ACK describes.
 * @param options.sentAt when the message it answers was sent
 * @param options.server who to take for the sender when it does not say (option 54)
 * @throws RangeError that says what is wrong with it
 */
export function leaseFrom(message: Message, options: { readonly sentAt: number; readonly server?: Address | undefined }): Lease {
  const value = (name: OptionName): Uint8Array | undefined => message.options.get(OPTION[name]);
  const server = readAddress(value("dhcp-server-identifier")) ?? options.server;
  if (server === undefined || !isHost(server)) throw new RangeError("no server identifier");
  const routers = (readAddresses(value("routers")) ?? []).filter(isHost);
  return {
    address: addressOf(message, readAddress(value("subnet-mask"))),
    routers,
    server,
    ...times(message, options.sentAt),
    routes: routesOf(message, routers[0]),
    nameservers: distinct((readAddresses(value("domain-name-servers")) ?? []).filter((address) => address.value !== 0n)),
    domain: domainName(readText(value("domain-name"))),
    search: readDomainSearch(value("domain-search")) ?? [],
    mtu: usableMtu(readNumber(value("interface-mtu"), 2)),
  };
}

function addressOf(message: Message, mask: Address | undefined): Prefix {
  const address = message.yiaddr;
  if (!isHost(address)) throw new RangeError(`address ${address} is none of a host`);
  const length = mask === undefined ? classLength(address) : maskLength(mask);
  if (length === undefined) throw new RangeError(`subnet mask ${mask} is no mask`);
  return new Prefix(address, length);
}

/** Neither 0.0.0.0/8, nor loopback, nor multicast and beyond. */
function isHost(address: Address): boolean {
  const first = Number(address.value >> 24n);
  return first > 0 && first !== 127 && first < 224;
}

/** T1 and T2 as the server says, or where it says nothing that makes sense a half and seven eighths (RFC 2131 section 4.4.5). */
function times(message: Message, sentAt: number): Pick<Lease, "startsAt" | "renewAt" | "rebindAt" | "expiresAt"> {
  const seconds = (name: OptionName): number | undefined => readNumber(message.options.get(OPTION[name]), 4);
  const lease = seconds("dhcp-lease-time") ?? DEFAULT_SECONDS;
  if (lease === 0) throw new RangeError("lease time 0");
  if (lease === INFINITE) return { startsAt: sentAt, renewAt: Infinity, rebindAt: Infinity, expiresAt: Infinity };
  let t1 = seconds("dhcp-renewal-time") ?? lease / 2;
  let t2 = seconds("dhcp-rebinding-time") ?? (lease * 7) / 8;
  if (t1 === 0 || t1 > t2 || t2 > lease) [t1, t2] = [lease / 2, (lease * 7) / 8];
  return { startsAt: sentAt, renewAt: sentAt + t1 * 1000, rebindAt: sentAt + t2 * 1000, expiresAt: sentAt + lease * 1000 };
}

/** Option 121 and then nothing else (RFC 3442); without it 33 and a default route by the first router of option 3. */
function routesOf(message: Message, router: Address | undefined): LeaseRoute[] {
  const classless = readClasslessRoutes(message.options.get(OPTION["classless-static-routes"]));
  if (classless !== undefined) return classless;
  const routes = readStaticRoutes(message.options.get(OPTION["static-routes"])) ?? [];
  return router === undefined ? routes : [...routes, { destination: Prefix.parse("0.0.0.0/0"), gateway: router }];
}

function usableMtu(mtu: number | undefined): number | undefined {
  return mtu === undefined || mtu < MIN_MTU ? undefined : mtu;
}

function distinct(addresses: readonly Address[]): Address[] {
  return addresses.filter((address, i) => addresses.findIndex((other) => other.equals(address)) === i);
}

/** RT_SCOPE_LINK. */
const SCOPE_LINK = 253;

/**
 * A lease as an IPAM plugin's result.
 * @param options.priority metric of every route
 */
export function leaseResult(lease: Lease, options: { readonly priority?: number | undefined } = {}): Result {
  const [gateway] = lease.routers;
  const priority = options.priority === undefined ? {} : { priority: options.priority };
  return {
    ips: [{ address: `${lease.address}`, ...(gateway && { gateway: `${gateway}` }) }],
    routes: lease.routes.map((route): Route => {
      const next = route.gateway === undefined ? { scope: SCOPE_LINK } : { gw: `${route.gateway}` };
      return { dst: `${route.destination}`, ...next, ...priority };
    }),
    dns: dnsOf(lease),
  };
}

function dnsOf(lease: Lease): Dns {
  return {
    ...(lease.nameservers.length > 0 && { nameservers: lease.nameservers.map(String) }),
    ...(lease.domain !== undefined && { domain: lease.domain }),
    ...(lease.search.length > 0 && { search: [...lease.search] }),
  };
}

/** Whether two leases mean the same configuration; times and server do not count. No lease is like no other. */
export function sameConfiguration(a: Lease | undefined, b: Lease): boolean {
  return a !== undefined && a.mtu === b.mtu && JSON.stringify(leaseResult(a)) === JSON.stringify(leaseResult(b));
}

/**
 * The same lease in a clock that is `ms` ahead of its own. Clients are best driven with a clock that never jumps, and what is kept on disk
 * needs one that lasts: add `Date.now() - now()` when writing, subtract it after reading.
 */
export function shiftLease(lease: Lease, ms: number): Lease {
  const { startsAt, renewAt, rebindAt, expiresAt } = lease;
  return { ...lease, startsAt: startsAt + ms, renewAt: renewAt + ms, rebindAt: rebindAt + ms, expiresAt: expiresAt + ms };
}
