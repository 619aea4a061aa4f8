import { beforeEach, describe, expect, it } from "vitest";
import { Address } from "../../src/ip/address.ts";
import { Prefix } from "../../src/ip/prefix.ts";
import { addAddress } from "../../src/link/addresses.ts";
import { AddressTakenError, addHostRoute, hasHostRoute } from "../../src/link/host-route.ts";
import type { Link } from "../../src/link/links.ts";
import { holderOf } from "../../src/link/route-lookup.ts";
import { addOnlyRoute, addRoute, listRoutes } from "../../src/link/routes.ts";
import { ipJson, output } from "../support/node.ts";
import { makePair, makeStage, type Stage } from "../support/stage.ts";

// Routes for one address alone, as the host has one for each container that is on no bridge.

let stage: Stage;
let one: Link;
let two: Link;
beforeEach(() => {
  stage = makeStage();
  one = makePair(stage.host, "va");
  two = makePair(stage.host, "vb");
});

const families = [
  { container: "10.1.0.2", gateway: "10.1.0.1/32", network: "10.1.0.0/24", own: "10.1.0.1" },
  { container: "fd00:1::2", gateway: "fd00:1::1/128", network: "fd00:1::/64", own: "fd00:1::1" },
] as const;

describe.each(families)("for $container", ({ container, gateway, network, own }) => {
  const address = Address.parse(container);
  const shown = (dev: string) => ipJson(address.family === 4 ? "-4" : "-6", "route", "show", container, "dev", dev);

  it("leads over the link", () => {
    addHostRoute(stage.host, one, address);
    expect(shown("va")).toHaveLength(1);
    expect(hasHostRoute(stage.host, one, address)).toBe(true);
    expect(hasHostRoute(stage.host, two, address)).toBe(false);
    expect(stage.commands().at(-1)).toMatch(new RegExp(`^ip (-6 )?route add ${Prefix.host(address)}.* dev va$`));
  });

  it("is not made a second time, over whatever link, and the first stays", () => {
    addHostRoute(stage.host, one, address);
    output("ip", "link", "set", "va", "alias", "somebody's");
    for (const link of [one, two]) {
      expect(() => addHostRoute(stage.host, link, address)).toThrow(AddressTakenError);
      expect(() => addHostRoute(stage.host, link, address)).toThrow('leads over link "va" (somebody\'s)');
      const route = { dst: Prefix.host(address) };
      expect(() => addOnlyRoute(stage.host, link, route)).toThrow("EEXIST"); // what a call that was quicker leaves
    }
    expect(shown("vb")).toEqual([]);
    expect(shown("va")).toHaveLength(1);
  });

  it("is not made for an address of the node itself", async () => {
    addAddress(stage.host, one, { prefix: Prefix.parse(gateway) });
    // IPv6 makes an address the node's own a moment after it was added
    await expect.poll(() => holderOf(stage.host, Address.parse(own))).toMatchObject({ own: true, link: { name: "va" } });
    expect(() => addHostRoute(stage.host, two, Address.parse(own))).toThrow(`${own} is the node's own address, on "va"`);
  });

  it("does not mind that a wider route leads elsewhere", () => {
    addRoute(stage.host, two, { dst: Prefix.parse(network) });
    expect(holderOf(stage.host, address)).toBeUndefined();
    addHostRoute(stage.host, one, address);
    expect(holderOf(stage.host, address)).toMatchObject({ own: false, link: { name: "va" } });
  });
});

describe("an address without a route for its network", () => {
  it.each(["10.1.0.5/24", "fd00:1::5/64"])("%s", (text) => {
    const prefix = Prefix.parse(text);
    addAddress(stage.host, one, { prefix, prefixRoute: false });
    expect(listRoutes(stage.host, one, prefix.family).some(({ dst }) => dst.equals(prefix.network()))).toBe(false);
    expect(stage.commands().at(-1)).toMatch(/ noprefixroute$/);
    addAddress(stage.host, two, { prefix });
    expect(listRoutes(stage.host, two, prefix.family).some(({ dst }) => dst.equals(prefix.network()))).toBe(true);
  });

  it.each([
    { dst: "10.9.0.0/16", target: "10.9.0.9", gateway: "10.1.0.1", first: "10.1.0.5", second: "10.1.0.6", length: 24 },
    { dst: "fd00:9::/48", target: "fd00:9::9", gateway: "fd00:1::1", first: "fd00:1::5", second: "fd00:1::6", length: 64 },
  ])("$second is the source of packets on a route that says so", ({ dst, target, gateway, first, second, length }) => {
    for (const address of [first, second]) addAddress(stage.host, one, { prefix: Prefix.parse(`${address}/${length}`) });
    const source = Address.parse(second);
    addRoute(stage.host, one, { dst: Prefix.parse(dst), gateway: Address.parse(gateway), source });
    expect(stage.commands().at(-1)).toContain(` src ${second} `);
    expect(ipJson("route", "get", target)).toMatchObject([{ prefsrc: second }]);
  });
});
