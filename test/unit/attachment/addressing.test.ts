import { describe, expect, it } from "vitest";
import { readAddressing } from "../../../src/attachment/addressing.ts";
import { addressingOf, expectSame } from "../../../src/attachment/verify.ts";
import type { Route } from "../../../src/cni/result.ts";

const ips = [
  { address: "10.1.0.5/16", gateway: "10.1.0.1" },
  { address: "10.2.0.5/16", gateway: "10.2.0.1" },
  { address: "fd00:1::5/64" },
  { address: "fd00:2::5/64", gateway: "fd00:2::1" },
];

/** Destination and gateway of each route, as text. */
function ways(routes: Route[]): (readonly string[])[] {
  return readAddressing({ ips, routes }).routes.map(({ dst, gateway }) => [String(dst), String(gateway)]);
}

describe("readAddressing", () => {
  it("reads addresses with their gateways", () => {
    const { addresses } = readAddressing({ ips });
    expect(addresses.map(({ prefix, gateway }) => `${prefix} ${gateway}`)).toEqual([
      "10.1.0.5/16 10.1.0.1",
      "10.2.0.5/16 10.2.0.1",
      "fd00:1::5/64 undefined",
      "fd00:2::5/64 fd00:2::1",
    ]);
  });

  it("leads routes without a gateway through the first one of their family", () => {
    expect(ways([{ dst: "0.0.0.0/0" }, { dst: "::/0" }, { dst: "10.9.0.0/16", gw: "10.1.0.9" }])).toEqual([
      ["0.0.0.0/0", "10.1.0.1"],
      ["::/0", "fd00:2::1"],
      ["10.9.0.0/16", "10.1.0.9"],
    ]);
  });

  it("leaves routes whose scope says that the destination is on the link without a gateway", () => {
    expect(
      ways([
        { dst: "10.9.0.0/16", scope: 253 },
        { dst: "10.9.0.1/32", scope: 254 },
        { dst: "10.8.0.0/16", scope: 0 },
      ]),
    ).toEqual([
      ["10.9.0.0/16", "undefined"],
      ["10.9.0.1/32", "undefined"],
      ["10.8.0.0/16", "10.1.0.1"],
    ]);
  });

  it("leads no route to a gateway through that gateway, also when its scope was lost on the way", () => {
    expect(ways([{ dst: "10.1.0.1/32" }, { dst: "fd00:2::1/128" }, { dst: "10.2.0.1/32" }])).toEqual([
      ["10.1.0.1/32", "undefined"],
      ["fd00:2::1/128", "undefined"],
      ["10.2.0.1/32", "10.1.0.1"],
    ]);
  });

  it("keeps all that a route says", () => {
    const [route] = readAddressing({
      ips,
      routes: [{ dst: "10.9.0.0/16", mtu: 1300, advmss: 1200, priority: 5, table: 1000, scope: 0 }],
    }).routes;
    expect(route).toMatchObject({ mtu: 1300, advmss: 1200, priority: 5, table: 1000, scope: 0 });
  });

  it("reads an empty result", () => {
    expect(readAddressing({})).toEqual({ addresses: [], routes: [] });
  });

  it("refuses what is no address", () => {
    expect(() => readAddressing({ ips: [{ address: "10.1.0.5" }] })).toThrow(RangeError);
    expect(() => readAddressing({ ips, routes: [{ dst: "default" }] })).toThrow(RangeError);
  });
});

describe("addressingOf", () => {
  it("has the addresses of one interface, and those that name none", () => {
    const placed = ips.map((ip, place) => (place === 3 ? ip : { ...ip, interface: place }));
    expect(addressingOf({ ips: placed }, 1).addresses.map(({ prefix }) => String(prefix))).toEqual([
      "10.2.0.5/16",
      "fd00:2::5/64",
    ]);
  });
});

describe("expectSame", () => {
  it.each([
    { expected: 1400, actual: 1500, text: "MTU is 1500, expected 1400" },
    { expected: "c2:00:00:00:00:01", actual: undefined, text: 'MTU is missing, expected "c2:00:00:00:00:01"' },
    { expected: true, actual: "yes", text: 'MTU is "yes", expected true' },
  ])("$text", ({ expected, actual, text }) => {
    expect(() => expectSame("MTU", { expected, actual })).toThrow(new Error(text));
  });

  it("is silent where they are the same", () => {
    expect(() => expectSame("MTU", { expected: 1400, actual: 1400 })).not.toThrow();
  });
});
