import { array, exactOptional, integer, looseObject, number, pipe, string } from "valibot";
import { Prefix } from "../ip/prefix.ts";
import { read } from "./check.ts";
import { address, cidr, dns, route } from "./config.ts";
import { CniError, codes } from "./error.ts";
import { isObject, type JsonObject, sortKeys } from "./json.ts";
import type { Dns, Interface, IpConfig, Result, Route } from "./result.ts";
import { isVersion, type Version } from "./version.ts";

// Results of all versions to and from that of 1.1.0, by the rules of the reference's converters. There are three shapes;
// versions of the same shape differ by the version's text alone. Keys that no version knows are kept in all but the oldest
// shape, which has no place for them.

const shapes = {
  perFamily: ["0.1.0", "0.2.0"],
  versionedIps: ["0.3.0", "0.3.1", "0.4.0"],
  current: ["1.0.0", "1.1.0"],
} as const satisfies Record<string, readonly Version[]>;

type Shape = keyof typeof shapes;

const routes = array(looseObject(route.entries));
const resultDns = looseObject(dns.entries);

function listResult() {
  return looseObject({
    cniVersion: exactOptional(string()),
    interfaces: exactOptional(
      array(
        looseObject({
          name: string(),
          mac: exactOptional(string()),
          mtu: exactOptional(number()),
          sandbox: exactOptional(string()),
          socketPath: exactOptional(string()),
          pciID: exactOptional(string()),
        }),
      ),
    ),
    ips: exactOptional(
      array(looseObject({ address: cidr, gateway: exactOptional(address), interface: exactOptional(pipe(number(), integer())) })),
    ),
    routes: exactOptional(routes),
    dns: exactOptional(resultDns),
  });
}

const familyConfig = looseObject({ ip: cidr, gateway: exactOptional(address), routes: exactOptional(routes) });

function familyResult() {
  return looseObject({
    cniVersion: exactOptional(string()),
    ip4: exactOptional(familyConfig),
    ip6: exactOptional(familyConfig),
    dns: exactOptional(resultDns),
  });
}

function shapeOf(version: Version): Shape {
  const names = Object.keys(shapes) as Shape[];
  return names.find((name) => (shapes[name] as readonly Version[]).includes(version)) ?? "current";
}

/**
 * Reads a result of `version`, of a previous plugin or a delegate. A version inside it must be one of the same shape.
 * @throws CniError 1 for versions that do not exist or fit, 6 for anything that is not a result
 */
export function parseResult(json: unknown, version: string): Result {
  if (!isVersion(version))
    throw new CniError(codes.incompatibleVersion, `unsupported CNI result version ${JSON.stringify(version)}`);
  if (!isObject(json)) throw new CniError(codes.decodingFailure, "Cannot use result: expected an object");
  const options = { what: "result", code: codes.decodingFailure };
  const shape = shapeOf(version);
  if (shape === "perFamily") {
    const { cniVersion, ip4, ip6, dns } = read(familyResult(), json, options);
    requireShape(cniVersion, shape);
    const families = [ip4, ip6].filter((family) => family !== undefined);
    const ips = families.map(({ ip, gateway }) => ({ address: ip, ...(gateway === undefined ? {} : { gateway }) }));
    return { ips, routes: families.flatMap((family) => family.routes ?? []), ...(dns === undefined ? {} : { dns }) };
  }
  const { cniVersion, ...result } = read(listResult(), json, options);
  requireShape(cniVersion, shape);
  if (shape === "current" || result.ips === undefined) return result;
  return { ...result, ips: result.ips.map(({ version: _family, ...ip }) => ip as IpConfig) };
}

function requireShape(found: string | undefined, shape: Shape): void {
  const supported: readonly string[] = shapes[shape];
  if (found === undefined || found === "" || supported.includes(found)) return;
  const msg = `result type supports [${supported.join(" ")}] but unmarshalled CNIVersion is ${JSON.stringify(found)}`;
  throw new CniError(codes.incompatibleVersion, msg);
}

/**
 * The result as an object of `version`, keys in the order in which they are printed.
 * @throws CniError 1 for a version that does not exist, 7 when the version cannot say it (see requireAddresses)
 */
export function formatResult(result: Result, version: string): JsonObject {
  if (!isVersion(version)) {
    const msg = `no converter for CNI result version 1.1.0 to ${version}`;
    throw new CniError(codes.incompatibleVersion, msg);
  }
  switch (shapeOf(version)) {
    case "perFamily":
      return { cniVersion: version, ...formatFamilies(result) };
    case "versionedIps":
      return { cniVersion: version, ...formatLists(result, true), dns: formatDns(result.dns ?? {}) };
    case "current": {
      const dns = formatDns(result.dns ?? {});
      return sortKeys({
        cniVersion: version,
        ...formatLists(result, false),
        ...(Object.keys(dns).length > 0 ? { dns } : {}),
      }) as JsonObject;
    }
  }
}

/** The text a plugin prints: four spaces of indent, one newline at the end. @throws as formatResult */
export function printResult(result: Result, version: string): string {
  return `${JSON.stringify(formatResult(result, version), null, 4)}\n`;
}

function formatLists(result: Result, versioned: boolean): JsonObject {
  const { interfaces, ips, routes, dns: _dns, ...unknown } = result;
  return arrange(["interfaces", "ips", "routes"], {
    interfaces: interfaces?.map((link) => formatInterface(link, versioned)),
    ips: ips?.map((ip) => formatIp(ip, versioned)),
    routes: routes?.map(formatRoute),
    ...unknown,
  });
}

function formatInterface(link: Interface, versioned: boolean): JsonObject {
  const { mtu, socketPath, pciID, ...old } = link;
  return arrange(["name", "mac", "mtu", "sandbox", "socketPath", "pciID"], versioned ? old : { ...old, mtu, socketPath, pciID });
}

function formatIp(ip: IpConfig, versioned: boolean): JsonObject {
  const version = versioned ? { version: String(Prefix.parse(ip.address).family) } : {};
  return arrange(["version", "interface", "address", "gateway"], { ...ip, ...version });
}

function formatRoute(route: Route): JsonObject {
  return arrange(["dst", "gw", "mtu", "advmss", "priority", "table", "scope"], { ...route });
}

function formatDns(dns: Dns): JsonObject {
  return arrange(["nameservers", "domain", "search", "options"], { ...dns });
}

/** The first address of each family, and the routes of those families; nothing else fits. */
function formatFamilies(result: Result): JsonObject {
  const families = ([4, 6] as const).map((family) => {
    const ip = result.ips?.find(({ address }) => Prefix.parse(address).family === family);
    if (ip === undefined) return undefined;
    const routes = (result.routes ?? []).filter(({ dst }) => Prefix.parse(dst).family === family);
    return arrange(["ip", "gateway", "routes"], {
      ip: ip.address,
      gateway: ip.gateway,
      routes: routes.map(({ dst, gw }) => arrange(["dst", "gw"], { dst, gw })),
    });
  });
  const [ip4, ip6] = families;
  if (ip4 === undefined && ip6 === undefined) throw withoutAddresses();
  return { ...(ip4 && { ip4 }), ...(ip6 && { ip6 }), dns: formatDns(result.dns ?? {}) };
}

function withoutAddresses(): CniError {
  return new CniError(codes.invalidConfig, "cannot convert: no valid IP addresses", {
    details:
      'a result without addresses cannot be said in cniVersion 0.1.0 and 0.2.0: give "ipam", or a cniVersion of 0.3.0 or later',
  });
}

/**
 * For interface plugins, before any work: a network without addresses (layer 2) has no result in 0.1.0 and 0.2.0.
 * @throws CniError 7, because the configuration asks for both
 */
export function requireAddresses(version: Version, hasIpam: boolean): void {
  if (!hasIpam && shapeOf(version) === "perFamily") throw withoutAddresses();
}

/** `object` with `known` keys first and in that order, those without a value left out, as Go's omitempty does. */
function arrange(known: readonly string[], object: JsonObject): JsonObject {
  const arranged: [string, unknown][] = [];
  for (const key of known) {
    const value = object[key];
    if (value !== undefined && value !== "" && !(Array.isArray(value) && value.length === 0)) arranged.push([key, value]);
  }
  return Object.fromEntries([...arranged, ...Object.entries(object).filter(([key]) => !known.includes(key))]);
}
