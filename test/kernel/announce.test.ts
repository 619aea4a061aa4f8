import { beforeEach, describe, expect, it } from "vitest";
import { Address } from "../../src/ip/address.ts";
import { Prefix } from "../../src/ip/prefix.ts";
import { listAddresses } from "../../src/link/addresses.ts";
import { announce } from "../../src/link/announce.ts";
import { ensureBridge, startPort } from "../../src/link/bridges.ts";
import { configureLink, type LinkConfiguration } from "../../src/link/configure.ts";
import { getLink, type Link } from "../../src/link/links.ts";
import type { Sandbox } from "../../src/link/namespace.ts";
import { listNeighbours } from "../../src/link/neighbours.ts";
import { listRoutes } from "../../src/link/routes.ts";
import { readSysctl } from "../../src/link/sysctl.ts";
import { waitFor } from "../../src/link/wait.ts";
import { OPER_UP } from "../../src/netlink/route/link.ts";
import { RTMGRP } from "../../src/netlink/route/message-types.ts";
import { output } from "../support/node.ts";
import { addContainer, connectVeth, givenSysctls, makeStage, type Stage } from "../support/stage.ts";

const RTMGRP_NEIGH = 0x4;

let stage: Stage;
let bridge: Link;
beforeEach(() => {
  stage = makeStage();
  bridge = ensureBridge(stage.host, { name: "br7", mtu: 0, vlanFiltering: false, promiscuous: false });
});

/** A container on the bridge, its interface not configured yet. */
function attach(name: string): { sandbox: Sandbox; inner: Link; outer: Link } {
  const sandbox = addContainer(stage);
  const { outer, inner } = connectVeth(sandbox, name, { master: bridge });
  startPort(stage.host, outer, { hairpin: false, isolated: false, alias: name });
  return { sandbox, inner, outer };
}

function configuration(addresses: readonly string[], detectDuplicates = false): LinkConfiguration {
  return { addresses: addresses.map((text) => Prefix.parse(text)), routes: [], detectDuplicates };
}

/** Configures and waits until the bridge forwards on the port. */
function settle({ sandbox, inner, outer }: ReturnType<typeof attach>, wish: LinkConfiguration): void {
  configureLink(sandbox.container, inner, wish);
  const look = () => getLink(stage.host, outer.index).operState === OPER_UP || undefined;
  expect(waitFor(stage.host, { groups: RTMGRP.LINK, timeoutMs: 10_000, look })).toBe(true);
}

describe("announce", () => {
  it.each([
    { protocol: "ARP", address: "10.7.0.9", prefix: "10.7.0.9/24", other: "10.7.0.1/24" },
    { protocol: "neighbour discovery", address: "fd00:7::9", prefix: "fd00:7::9/64", other: "fd00:7::1/64" },
  ])("tells who remembers another owner of an address ($protocol)", ({ address, prefix, other }) => {
    const family = address.includes(":") ? 6 : 4;
    const bystander = attach("plold");
    settle(bystander, configuration([other]));
    const newcomer = attach("plnew");
    settle(newcomer, configuration([prefix]));
    const { container } = bystander.sandbox;
    container.inside(() =>
      output("ip", "neighbour", "replace", address, "lladdr", "c2:de:ad:00:00:01", "dev", "eth0", "nud", "stale"),
    );
    const remembered = () =>
      listNeighbours(container, bystander.inner, family).find((neighbour) => neighbour.address.equals(Address.parse(address)))
        ?.mac;
    expect(remembered()).toBe("c2:de:ad:00:00:01");

    announce(newcomer.sandbox.container, newcomer.inner);

    const look = () => (remembered() === newcomer.inner.mac ? true : undefined);
    waitFor(container, { groups: RTMGRP_NEIGH, timeoutMs: 10_000, look });
    expect(remembered()).toBe(newcomer.inner.mac);
  });
});

describe("configureLink", () => {
  it("gives addresses, brings up, adds routes", () => {
    const { sandbox, inner } = attach("plone");
    const { container } = sandbox;
    configureLink(container, inner, {
      ...configuration(["10.7.0.9/24", "fd00:7::9/64"]),
      routes: [
        { dst: Prefix.parse("0.0.0.0/0"), gateway: Address.parse("10.7.0.1") },
        { dst: Prefix.parse("::/0"), gateway: Address.parse("fd00:7::1"), mtu: 1400 },
      ],
    });
    expect(getLink(container, "eth0").up).toBe(true);
    const addresses = listAddresses(container, inner).filter(({ scope }) => scope === 0);
    expect(addresses.map(({ prefix, tentative }) => [String(prefix), tentative])).toEqual([
      ["10.7.0.9/24", false],
      ["fd00:7::9/64", false],
    ]);
    expect(listRoutes(container, inner, 4).map(({ dst, gateway }) => `${dst} ${gateway}`)).toContain("0.0.0.0/0 10.7.0.1");
    expect(listRoutes(container, inner, 6)).toContainEqual(
      expect.objectContaining({ dst: Prefix.parse("::/0"), gateway: Address.parse("fd00:7::1"), mtu: 1400 }),
    );
    const six = (key: string) => readSysctl(container, `net/ipv6/conf/eth0/${key}`);
    expect([six("accept_dad"), six("keep_addr_on_down"), six("ndisc_notify")]).toEqual(["0", "1", "1"]);
    expect(readSysctl(container, "net/ipv4/conf/eth0/arp_notify")).toBe("1");
  });

  it("switches IPv6 on where the container has it off, and leaves it off where no address needs it", () => {
    const off = (sandbox: Sandbox) =>
      sandbox.container.inside(() =>
        givenSysctls({ "net/ipv6/conf/all/disable_ipv6": "1", "net/ipv6/conf/default/disable_ipv6": "1" }),
      );
    const both = attach("plboth");
    off(both.sandbox);
    configureLink(both.sandbox.container, both.inner, configuration(["fd00:7::9/64"]));
    expect(listAddresses(both.sandbox.container, both.inner, 6).map(({ prefix }) => String(prefix))).toContain("fd00:7::9/64");
    const four = attach("plfour");
    off(four.sandbox);
    configureLink(four.sandbox.container, four.inner, configuration(["10.7.0.9/24"]));
    expect(readSysctl(four.sandbox.container, "net/ipv6/conf/eth0/disable_ipv6")).toBe("1");
  });

  it("waits until the kernel knows that nobody else has the address", () => {
    const { sandbox, inner } = attach("plone");
    configureLink(sandbox.container, inner, configuration(["fd00:7::9/64", "10.7.0.9/24"], true));
    const sixes = listAddresses(sandbox.container, inner, 6);
    expect(sixes.map(({ prefix }) => String(prefix))).toContain("fd00:7::9/64");
    expect(sixes.filter(({ tentative, duplicate }) => tentative || duplicate)).toEqual([]);
  });

  it("refuses an address that somebody else has", () => {
    settle(attach("plone"), configuration(["fd00:7::9/64"]));
    const { sandbox, inner } = attach("pltwo");
    expect(() => configureLink(sandbox.container, inner, configuration(["fd00:7::9/64"], true))).toThrow(
      'Cannot use fd00:7::9/64 on "eth0": another node has this address (DAD failed)',
    );
  });

  it("says the kernel's words about a route that cannot be", () => {
    const { sandbox, inner } = attach("plone");
    const routes = [{ dst: Prefix.parse("0.0.0.0/0"), gateway: Address.parse("192.0.2.1") }];
    expect(() => configureLink(sandbox.container, inner, { ...configuration(["10.7.0.9/24"]), routes })).toThrow(
      "RTM_NEWROUTE: Network is unreachable (ENETUNREACH): Nexthop has invalid gateway",
    );
  });
});
