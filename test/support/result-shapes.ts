import {
  array,
  check,
  type GenericSchema,
  integer,
  literal,
  minLength,
  minValue,
  number,
  optional,
  parse,
  picklist,
  pipe,
  regex,
  strictObject,
  string,
} from "valibot";
import { expect } from "vitest";
import type { Version } from "../../src/cni/version.ts";

// The results of the specification, each version's keys and no others, written down a second time: nothing of src/cni is used.

const v4 = pipe(string(), regex(/^\d+(\.\d+){3}$/));
const v6 = pipe(string(), regex(/^[0-9a-f:]*:[0-9a-f:]*$/));
const v4Cidr = pipe(string(), regex(/^\d+(\.\d+){3}\/\d+$/));
const v6Cidr = pipe(string(), regex(/^[0-9a-f:]*:[0-9a-f:]*\/\d+$/));
const anyCidr = pipe(string(), regex(/^[0-9a-f.:]+\/\d+$/));
const anyAddress = pipe(string(), regex(/^[0-9a-f.:]+$/));
const mac = pipe(string(), regex(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/));
const name = pipe(string(), regex(/^[^/:\s]{1,15}$/));
const count = pipe(number(), integer(), minValue(0));
const some = <T extends GenericSchema>(item: T) => optional(pipe(array(item), minLength(1)));

const dns = strictObject({
  nameservers: some(string()),
  domain: optional(string()),
  search: some(string()),
  options: some(string()),
});

const route = strictObject({
  dst: anyCidr,
  gw: optional(anyAddress),
  mtu: optional(count),
  advmss: optional(count),
  priority: optional(count),
  table: optional(count),
  scope: optional(count),
});

function oldest(cniVersion: Version): GenericSchema {
  const family = (address: typeof v4, cidr: typeof v4Cidr) => {
    return strictObject({
      ip: cidr,
      gateway: optional(address),
      routes: some(strictObject({ dst: cidr, gw: optional(address) })),
    });
  };
  const keys = { cniVersion: literal(cniVersion), ip4: optional(family(v4, v4Cidr)), ip6: optional(family(v6, v6Cidr)), dns };
  return pipe(
    strictObject(keys),
    check(({ ip4, ip6 }) => ip4 !== undefined || ip6 !== undefined, "no address at all"),
  );
}

function middle(cniVersion: Version): GenericSchema {
  const ip = pipe(
    strictObject({ version: picklist(["4", "6"]), interface: optional(count), address: anyCidr, gateway: optional(anyAddress) }),
    check(
      ({ version, address, gateway = "" }) =>
        (version === "6") === address.includes(":") && (gateway === "" || (version === "6") === gateway.includes(":")),
    ),
  );
  const link = strictObject({ name, mac: optional(mac), sandbox: optional(string()) });
  return strictObject({ cniVersion: literal(cniVersion), interfaces: some(link), ips: some(ip), routes: some(route), dns });
}

function latest(cniVersion: Version): GenericSchema {
  const ip = strictObject({ interface: optional(count), address: anyCidr, gateway: optional(anyAddress) });
  const link = strictObject({
    name,
    mac: optional(mac),
    mtu: optional(count),
    sandbox: optional(string()),
    socketPath: optional(string()),
    pciID: optional(string()),
  });
  return strictObject({
    cniVersion: literal(cniVersion),
    interfaces: some(link),
    ips: some(ip),
    routes: some(route),
    dns: optional(dns),
  });
}

const shapes: Readonly<Record<Version, (version: Version) => GenericSchema>> = {
  "0.1.0": oldest,
  "0.2.0": oldest,
  "0.3.0": middle,
  "0.3.1": middle,
  "0.4.0": middle,
  "1.0.0": latest,
  "1.1.0": latest,
};

/** Keys in the order of Go's structs up to 0.4.0, and of the alphabet from 1.0.0 on. */
const structOrder = ["cniVersion", "interfaces", "ip4", "ip6", "ips", "routes", "dns"];

/** Makes sure that the text is a result of this version: its keys, their types and order, four spaces of indent, one newline. */
export function expectResultShape(text: string, version: Version): void {
  const result = JSON.parse(text);
  parse(shapes[version](version), result);
  expect(text).toBe(`${JSON.stringify(result, null, 4)}\n`);
  const keys = Object.keys(result);
  expect(keys).toEqual(structOrder.filter((key) => keys.includes(key)).sort(shapes[version] === latest ? undefined : () => 0));
  for (const { interface: index } of result.ips ?? []) if (index !== undefined) expect(result.interfaces[index]).toBeDefined();
}
