import { Address } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import type { Lease } from "./lease.ts";
import { domainName, type LeaseRoute } from "./option-values.ts";

/** A lease as it lies on disk: addresses are text, times milliseconds, null for a time that never comes. */
export interface LeaseJson {
  readonly address: string;
  readonly routers: readonly string[];
  readonly server: string;
  readonly startsAt: number;
  readonly renewAt: number | null;
  readonly rebindAt: number | null;
  readonly expiresAt: number | null;
  readonly routes: readonly { readonly dst: string; readonly gw?: string }[];
  readonly nameservers: readonly string[];
  readonly domain?: string;
  readonly search: readonly string[];
  readonly mtu?: number;
}

export function leaseToJson(lease: Lease): LeaseJson {
  const time = (ms: number): number | null => (ms === Infinity ? null : ms);
  return {
    address: `${lease.address}`,
    routers: lease.routers.map(String),
    server: `${lease.server}`,
    startsAt: lease.startsAt,
    renewAt: time(lease.renewAt),
    rebindAt: time(lease.rebindAt),
    expiresAt: time(lease.expiresAt),
    routes: lease.routes.map(({ destination, gateway }) => ({ dst: `${destination}`, ...(gateway && { gw: `${gateway}` }) })),
    nameservers: lease.nameservers.map(String),
    ...(lease.domain !== undefined && { domain: lease.domain }),
    search: lease.search,
    ...(lease.mtu !== undefined && { mtu: lease.mtu }),
  };
}

/** Reads what leaseToJson made, from a file that may have been damaged or edited. Unknown keys are ignored. @throws RangeError that names the key */
export function leaseFromJson(json: unknown): Lease {
  const object = asObject(json, "lease");
  const lease: Lease = {
    address: asPrefix(object.address, "address"),
    routers: asList(object.routers, "routers").map((text) => asAddress(text, "routers")),
    server: asAddress(object.server, "server"),
    startsAt: asNumber(object.startsAt, "startsAt"),
    renewAt: asTime(object.renewAt, "renewAt"),
    rebindAt: asTime(object.rebindAt, "rebindAt"),
    expiresAt: asTime(object.expiresAt, "expiresAt"),
    routes: asList(object.routes, "routes").map(asRoute),
    nameservers: asList(object.nameservers, "nameservers").map((text) => asAddress(text, "nameservers")),
    domain: object.domain === undefined ? undefined : asDomain(object.domain, "domain"),
    search: asList(object.search, "search").map((text) => asDomain(text, "search")),
    mtu: object.mtu === undefined ? undefined : asNumber(object.mtu, "mtu"),
  };
  const { startsAt, renewAt, rebindAt, expiresAt } = lease;
  if (!(startsAt <= renewAt && renewAt <= rebindAt && rebindAt <= expiresAt)) {
    throw new RangeError("Cannot read lease: its times are not in order");
  }
  return lease;
}

function wrong(key: string, value: unknown): RangeError {
  return new RangeError(`Cannot read lease: "${key}" is ${JSON.stringify(value)?.slice(0, 80)}`);
}

function asObject(value: unknown, key: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(key, value);
  return value as Record<string, unknown>;
}

function asList(value: unknown, key: string): unknown[] {
  if (!Array.isArray(value)) throw wrong(key, value);
  return value;
}

function asNumber(value: unknown, key: string): number {
  if (typeof value !== "number" || !Number.isFinite(value)) throw wrong(key, value);
  return value;
}

function asTime(value: unknown, key: string): number {
  return value === null ? Infinity : asNumber(value, key);
}

function asAddress(value: unknown, key: string): Address {
  const address = typeof value === "string" ? Address.tryParse(value) : undefined;
  if (address?.family !== 4) throw wrong(key, value);
  return address;
}

function asPrefix(value: unknown, key: string): Prefix {
  const prefix = typeof value === "string" ? Prefix.tryParse(value) : undefined;
  if (prefix?.family !== 4) throw wrong(key, value);
  return prefix;
}

function asDomain(value: unknown, key: string): string {
  const name = typeof value === "string" ? domainName(value) : undefined;
  if (name === undefined) throw wrong(key, value);
  return name;
}

function asRoute(value: unknown): LeaseRoute {
  const { dst, gw } = asObject(value, "routes");
  return { destination: asPrefix(dst, "routes"), gateway: gw === undefined ? undefined : asAddress(gw, "routes") };
}
