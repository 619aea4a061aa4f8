import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readAddressing } from "../../src/attachment/addressing.ts";
import { verifyAddresses, verifyRoutes } from "../../src/attachment/verify.ts";
import type { Result } from "../../src/cni/result.ts";
import { Address } from "../../src/ip/address.ts";
import { Prefix } from "../../src/ip/prefix.ts";
import { addAddress } from "../../src/link/addresses.ts";
import type { Link } from "../../src/link/links.ts";
import { addRoute, formatRoute, type LinkRoute, listRoutes } from "../../src/link/routes.ts";
import { RT_SCOPE } from "../../src/netlink/route/route.ts";
import { Failures } from "../../src/support/errors.ts";
import { ipJson, output } from "../support/node.ts";
import { makePair, makeStage, type Stage } from "../support/stage.ts";
import { openWitness, type Witness } from "../support/witness.ts";

let stage: Stage;
let one: Link;
let two: Link;
let witness: Witness;
beforeEach(async () => {
  stage = makeStage();
  one = makePair(stage.host, "va");
  two = makePair(stage.host, "vb");
  for (const text of ["10.1.0.5/16", "fd00:1::5/64"]) addAddress(stage.host, one, { prefix: Prefix.parse(text) });
  for (const text of ["10.2.0.5/16", "fd00:2::5/64"]) addAddress(stage.host, two, { prefix: Prefix.parse(text) });
  witness = await openWitness();
});
afterEach(() => witness.close());

type Words = Partial<Omit<LinkRoute, "dst" | "gateway">> & { dst: string; via?: string };

function route({ dst, via, ...rest }: Words): LinkRoute {
  return { dst: Prefix.parse(dst), gateway: via === undefined ? undefined : Address.parse(via), ...rest };
}

/** The one route of the link to a destination, as we read it. */
function present(link: Link, dst: string): LinkRoute | undefined {
  const prefix = Prefix.parse(dst);
  const [found, ...others] = listRoutes(stage.host, link, prefix.family).filter((each) => each.dst.equals(prefix));
  expect(others).toEqual([]);
  return found;
}

describe("addRoute", () => {
  it.each<{ words: Words; seen: object; read: object }>([
    {
      words: { dst: "10.9.0.0/16", via: "10.1.0.1", priority: 7, table: 1000, mtu: 1300, advmss: 1200 },
      seen: { gateway: "10.1.0.1", priority: 7, table: 1000, mtu: 1300, advmss: 1200, scope: "UNIVERSE" },
      read: { priority: 7, table: 1000, mtu: 1300, advmss: 1200, scope: RT_SCOPE.UNIVERSE },
    },
    {
      words: { dst: "fd00:9::/48", via: "fd00:1::1", priority: 20, table: 300, mtu: 1290, advmss: 1210 },
      seen: { gateway: "fd00:1::1", priority: 20, table: 300, mtu: 1290, advmss: 1210 },
      read: { priority: 20, table: 300, mtu: 1290, advmss: 1210 },
    },
    {
      words: { dst: "10.9.0.0/16", mtu: 1300 },
      seen: { gateway: undefined, scope: "LINK", table: 254, mtu: 1300, advmss: undefined },
      read: { scope: RT_SCOPE.LINK, mtu: 1300, advmss: undefined },
    },
    {
      words: { dst: "10.9.0.0/16", scope: RT_SCOPE.HOST },
      seen: { gateway: undefined, scope: "HOST", table: 254 },
      read: { scope: RT_SCOPE.HOST },
    },
    {
      words: { dst: "10.9.0.0/16", via: "10.1.0.1", scope: RT_SCOPE.SITE },
      seen: { gateway: "10.1.0.1", scope: "SITE" },
      read: { scope: RT_SCOPE.SITE },
    },
    {
      words: { dst: "fd00:9::/48" },
      seen: { gateway: undefined, priority: 1024, table: 254 },
      read: { priority: 1024, table: 254 },
    },
    {
      words: { dst: "10.9.0.0/16", via: "10.1.0.1", table: 200 },
      seen: { gateway: "10.1.0.1", table: 200 },
      read: { table: 200 },
    },
    {
      words: { dst: "10.9.0.0/16", via: "10.1.0.1", table: 0 },
      seen: { gateway: "10.1.0.1", table: 254 },
      read: { table: 254 },
    },
  ])("$words", async ({ words, seen, read }) => {
    const wish = route(words);
    addRoute(stage.host, one, wish);
    const all = (await witness.routes()).filter(({ dst }) => dst === words.dst);
    expect(all).toMatchObject([{ index: one.index, ...seen }]);
    expect(present(one, words.dst)).toMatchObject({ gateway: wish.gateway, ...read });
    expect(stage.commands().at(-1)).toBe(`ip ${wish.dst.family === 6 ? "-6 " : ""}route prepend ${formatRoute(wish)} dev va`);
  });

  it("leaves out host bits of the destination", () => {
    addRoute(stage.host, one, route({ dst: "10.9.8.7/16", via: "10.1.0.1" }));
    expect(present(one, "10.9.0.0/16")).toMatchObject({ gateway: Address.parse("10.1.0.1") });
  });

  it.each([
    { words: { dst: "0.0.0.0/0", via: "10.1.0.1" }, other: { dst: "0.0.0.0/0", via: "10.2.0.1" } },
    { words: { dst: "::/0", via: "fd00:1::1" }, other: { dst: "::/0", via: "fd00:2::1" } },
  ])("lets two default routes stand side by side: $words.dst", ({ words, other }) => {
    addRoute(stage.host, one, route(words));
    addRoute(stage.host, two, route(other));
    expect(present(one, words.dst)?.gateway).toEqual(Address.parse(words.via));
    expect(present(two, words.dst)?.gateway).toEqual(Address.parse(other.via));
    output("ip", "link", "del", "vb");
    expect(present(one, words.dst)?.gateway).toEqual(Address.parse(words.via));
  });

  it.each([
    { words: { dst: "0.0.0.0/0", via: "10.1.0.1" } },
    { words: { dst: "::/0", via: "fd00:1::1" } },
    { words: { dst: "10.9.0.0/16" } },
  ])("refuses the very same route again: $words.dst", ({ words }) => {
    addRoute(stage.host, one, route(words));
    expect(() => addRoute(stage.host, one, route(words))).toThrow(/^RTM_NEWROUTE: File exists \(EEXIST\)/);
  });

  it("says the kernel's words about a gateway that is not on the link", () => {
    expect(() => addRoute(stage.host, one, route({ dst: "10.9.0.0/16", via: "192.0.2.1" }))).toThrow(
      "RTM_NEWROUTE: Network is unreachable (ENETUNREACH): Nexthop has invalid gateway",
    );
    expect(() => addRoute(stage.host, one, route({ dst: "fd00:9::/48", via: "2001:db8::1" }))).toThrow(
      /^RTM_NEWROUTE: .*\(EHOSTUNREACH\)/,
    );
  });
});

describe("listRoutes", () => {
  it("has those over one link in every table but the local one, as ip has them", () => {
    addRoute(stage.host, one, route({ dst: "10.9.0.0/16", via: "10.1.0.1", table: 1000 }));
    addRoute(stage.host, two, route({ dst: "10.8.0.0/16", via: "10.2.0.1" }));
    addRoute(stage.host, one, route({ dst: "0.0.0.0/0", via: "10.1.0.1" }));
    const theirs = ipJson<{ dst: string; dev: string; type: string }>("-4", "route", "show", "table", "all", "dev", "va")
      .filter(({ type }) => type === "unicast")
      .map(({ dst }) => dst);
    const ours = listRoutes(stage.host, one, 4).map(({ dst }) => (dst.length === 0 ? "default" : String(dst)));
    expect(ours.sort()).toEqual(theirs.sort());
    expect(ours.sort()).toEqual(["10.1.0.0/16", "10.9.0.0/16", "default"]);
  });

  it("has the ways over one link of a route with several", () => {
    output(
      ...("ip route add 10.9.0.0/16 nexthop via 10.1.0.1 dev va nexthop via 10.1.0.2 dev va nexthop via 10.2.0.1 dev vb".split(
        " ",
      ) as [string, ...string[]]),
    );
    const ways = (link: Link) =>
      listRoutes(stage.host, link, 4)
        .filter(({ dst }) => String(dst) === "10.9.0.0/16")
        .map(({ gateway }) => String(gateway));
    expect(ways(one)).toEqual(["10.1.0.1", "10.1.0.2"]);
    expect(ways(two)).toEqual(["10.2.0.1"]);
  });
});

describe("verifyRoutes, verifyAddresses", () => {
  function complaints(result: Result): string {
    const failures = new Failures();
    const plan = readAddressing(result);
    verifyAddresses(stage.host, one, { plan, failures });
    verifyRoutes(stage.host, one, { plan, failures });
    try {
      failures.throwAny();
    } catch (error) {
      return String(error);
    }
    return "";
  }
  const ips = [
    { address: "10.1.0.5/16", gateway: "10.1.0.1" },
    { address: "fd00:1::5/64", gateway: "fd00:1::1" },
  ];

  it("are content with what is there", () => {
    for (const words of [
      { dst: "0.0.0.0/0", via: "10.1.0.1" },
      { dst: "::/0", via: "fd00:1::1" },
      { dst: "10.9.0.0/16", via: "10.1.0.1", priority: 5, table: 1000 },
      { dst: "10.8.0.0/16", via: "10.1.0.1", table: 300 },
    ]) {
      addRoute(stage.host, one, route(words));
    }
    addRoute(stage.host, two, route({ dst: "::/0", via: "fd00:2::1" })); // the kernel makes one route of two ways
    const routes = [
      { dst: "0.0.0.0/0" },
      { dst: "::/0", gw: "fd00:1::1" },
      { dst: "10.9.0.0/16", priority: 5, table: 1000 },
      { dst: "10.8.0.0/16" }, // moved to another table by a plugin behind us
      { dst: "10.8.7.6/16", priority: 0, table: 0 },
    ];
    expect(complaints({ ips, routes })).toBe("");
  });

  it("say what is missing and what is there instead", () => {
    addRoute(stage.host, one, route({ dst: "10.9.0.0/16", via: "10.1.0.1", priority: 5 }));
    expect(complaints({ ips: [{ address: "10.1.0.6/16" }] })).toMatch(
      /^Error: Cannot find address 10\.1\.0\.6\/16: "va" has 10\.1\.0\.5\/16, fd00:1::5\/64/,
    );
    expect(complaints({ ips, routes: [{ dst: "10.9.0.0/16", priority: 6 }] })).toMatch(
      /^Error: Cannot find route 10\.9\.0\.0\/16 via 10\.1\.0\.1 metric 6: "va" has .*10\.9\.0\.0\/16 via 10\.1\.0\.1 metric 5/,
    );
    expect(
      complaints({
        ips,
        routes: [
          { dst: "10.9.0.0/16", gw: "10.1.0.9" },
          { dst: "10.9.0.0/16", table: 77 },
        ],
      }),
    ).toMatch(/10\.1\.0\.9.*; Cannot find route 10\.9\.0\.0\/16 via 10\.1\.0\.1 table 77/);
    output("ip", "address", "flush", "dev", "va");
    expect(complaints({ ips: [{ address: "10.1.0.5/16" }] })).toMatch(/"va" has no address|"va" has fe80/);
    expect(complaints({ routes: [{ dst: "10.9.0.0/16" }] })).toBe('Error: Cannot find route 10.9.0.0/16: "va" has no route');
  });
});
