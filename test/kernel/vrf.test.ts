import { writeFileSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import type { Result } from "../../src/cni/result.ts";
import { Bench } from "../support/attach.ts";
import type { Json, PluginCall } from "../support/call-plugin.ts";
import { RefusingKernel } from "../support/faults/refusing-kernel.ts";
import { needs, supports } from "../support/kernel-features.ts";
import { makeSandbox, type Sandbox } from "../support/node.ts";
import { makeOutside, type Outside } from "../support/outside.ts";

// Interfaces of a container in VRFs. Two networks may use the same addresses then, each with its own routes.

const bench = new Bench();
const has = supports("vrf");

interface Interface {
  readonly result: Result;
  readonly bridge: Omit<PluginCall, "command">;
  readonly vrf: Omit<PluginCall, "command">;
}

const ranges = [[{ subnet: "10.91.0.0/24" }], [{ subnet: "fd00:91::/64" }]];
const routes = [
  { dst: "0.0.0.0/0" },
  { dst: "::/0" },
  { dst: "10.200.0.0/16", gw: "10.91.0.9", mtu: 1400 },
  { dst: "10.201.0.0/16", gw: "10.91.0.9", table: 77 },
];

/** Attaches a container to a network of its own bridge; with `vrf`, those are the keys of that type. */
function attach(sandbox: Sandbox, ifname: string, options: { vrf?: Json; bridge?: Json } = {}): Interface {
  const name = `net-${ifname}`;
  const who = { containerId: "cid-1", netns: sandbox.path, ifname };
  const ipam = { type: "host-local", ranges, routes };
  const config: Json = {
    cniVersion: "1.1.0",
    name,
    type: "bridge",
    bridge: `br-${ifname}`,
    isGateway: true,
    ipam,
    ...options.bridge,
  };
  const bridge = { ...who, type: "bridge", config };
  const prevResult = bench.caller.add(bridge);
  const chained: Json = { cniVersion: "1.1.0", name, type: "vrf", vrfname: "red", ...options.vrf, prevResult };
  const vrf = { ...who, type: "vrf", config: chained };
  if (options.vrf !== undefined) expect(bench.caller.add(vrf)).toEqual(prevResult);
  return { result: prevResult, bridge: { ...bridge, config: { ...config, prevResult } }, vrf };
}

function check({ bridge, vrf }: Interface): void {
  for (const who of [bridge, vrf]) bench.caller.succeed({ ...who, command: "CHECK" });
}

function detach({ bridge, vrf }: Interface): void {
  for (const who of [vrf, bridge]) bench.caller.succeed({ ...who, command: "DEL" });
}

const vrfs = (sandbox: Sandbox) =>
  sandbox
    .ipJson<{ ifname: string; linkinfo: { info_data: { table: number } } }>("link", "show", "type", "vrf")
    .map(({ ifname, linkinfo }) => `${ifname} ${linkinfo.info_data.table}`);

const ports = (sandbox: Sandbox, vrf: string) =>
  sandbox.ipJson<{ ifname: string }>("link", "show", "master", vrf).map(({ ifname }) => ifname);

/** Routes over a link, `10.200.0.0/16 via 10.91.0.9 table 10`; IPv6's link-local ones and those of addresses left out. */
function routesOver(sandbox: Sandbox, dev: string): string[] {
  return ["-4", "-6"].flatMap((family) =>
    sandbox
      .ip(family, "route", "show", "table", "all", "dev", dev)
      .split("\n")
      .filter((line) => line !== "" && !/^(fe80|local|broadcast|multicast|anycast|ff00)/.test(line))
      .map((line) => [/^\S+( via \S+)?/.exec(line)?.[0], / table \S+/.exec(line)?.[0], / mtu \d+/.exec(line)?.[0]].join(""))
      .sort(),
  );
}

const inTable = (table: string) => [
  `10.200.0.0/16 via 10.91.0.9${table} mtu 1400`,
  "10.201.0.0/16 via 10.91.0.9 table 77",
  `10.91.0.0/24${table}`,
  `default via 10.91.0.1${table}`,
  `default via fd00:91::1${table}`,
  `fd00:91::/64${table}`,
];

let outside: Outside;
let sandbox: Sandbox;
beforeEach(() => {
  outside = makeOutside();
  sandbox = makeSandbox();
});

describe.skipIf(!has)(`vrf${needs("vrf")}`, () => {
  it("keeps addresses and routes, in a table of its own, and gives them back", () => {
    const one = attach(sandbox, "eth0");
    const before = routesOver(sandbox, "eth0");
    expect(before).toEqual(inTable(""));
    bench.caller.succeed({ ...one.vrf, command: "ADD" });
    expect(vrfs(sandbox)).toEqual(["red 1"]);
    expect(ports(sandbox, "red")).toEqual(["eth0"]);
    expect(routesOver(sandbox, "eth0")).toEqual(inTable(" table 1"));
    check(one);
    for (const address of ["10.91.0.2", "fd00:91::2"]) expect(outside.sandbox.ping(address)).toBe(true);
    expect(sandbox.sysctl("net/ipv6/conf/eth0/keep_addr_on_down")).toBe("1");
    bench.caller.succeed({ ...one.vrf, command: "DEL" });
    expect(routesOver(sandbox, "eth0")).toEqual(before);
    expect(vrfs(sandbox)).toEqual([]);
    expect(outside.sandbox.ping("10.91.0.2")).toBe(true);
    expect(outside.sandbox.ping("fd00:91::2")).toBe(true);
  });

  it("keeps IPv6 addresses where the interface would let them go", () => {
    const one = attach(sandbox, "eth0");
    sandbox.run(() => writeFileSync("/proc/sys/net/ipv6/conf/eth0/keep_addr_on_down", "0"));
    bench.caller.succeed({ ...one.vrf, command: "ADD" });
    expect(sandbox.ip("-6", "address", "show", "dev", "eth0", "scope", "global")).toContain("fd00:91::2/64");
    expect(sandbox.sysctl("net/ipv6/conf/eth0/keep_addr_on_down")).toBe("0");
    check(one);
    expect(outside.sandbox.ping("fd00:91::2")).toBe(true);
    bench.caller.succeed({ ...one.vrf, command: "DEL" });
    expect(sandbox.ip("-6", "address", "show", "dev", "eth0", "scope", "global")).toContain("fd00:91::2/64");
  });

  it("two networks with the same addresses, each in its VRF, the first free tables passing over those in use", () => {
    const same = { isGateway: false };
    sandbox.ip("rule", "add", "from", "192.0.2.200", "table", "1");
    const one = attach(sandbox, "eth0", { vrf: {}, bridge: same });
    sandbox.ip("route", "add", "unreachable", "10.55.0.0/16", "table", "3");
    const two = attach(sandbox, "net1", { vrf: { vrfname: "blue" }, bridge: same });
    expect(one.result.ips?.map(({ address }) => address)).toEqual(two.result.ips?.map(({ address }) => address));
    expect(vrfs(sandbox).sort()).toEqual(["blue 4", "red 2"]);
    check(one);
    check(two);
    detach(one);
    expect(vrfs(sandbox)).toEqual(["blue 4"]);
    check(two);
    detach(two);
    expect(vrfs(sandbox)).toEqual([]);
  });

  it("two interfaces in one VRF, which goes with the last", () => {
    const one = attach(sandbox, "eth0", { vrf: { table: 500 } });
    const two = attach(sandbox, "net1", {
      vrf: {},
      bridge: { ipam: { type: "host-local", ranges: [[{ subnet: "10.92.0.0/24" }]] } },
    });
    expect(vrfs(sandbox)).toEqual(["red 500"]);
    expect(ports(sandbox, "red").sort()).toEqual(["eth0", "net1"]);
    detach(one);
    expect(ports(sandbox, "red")).toEqual(["net1"]);
    check(two);
    expect(outside.sandbox.ping("10.92.0.2")).toBe(false); // it has no route to there
    detach(two);
    expect(vrfs(sandbox)).toEqual([]);
    expect(sandbox.ipJson("link", "show")).toMatchObject([{ ifname: "lo" }]);
  });

  it("DEL of an interface that is gone deletes the VRF, and is content without", () => {
    const one = attach(sandbox, "eth0", { vrf: {} });
    sandbox.ip("link", "del", "eth0");
    for (let i = 0; i < 2; i++) bench.caller.succeed({ ...one.vrf, command: "DEL" });
    expect(vrfs(sandbox)).toEqual([]);
  });

  it("a failed ADD leaves a VRF of somebody else's, empty as it was", () => {
    sandbox.ip("link", "add", "red", "type", "vrf", "table", "10");
    const one = attach(sandbox, "eth0");
    sandbox.ip("link", "add", "br0", "type", "bridge");
    sandbox.ip("link", "set", "eth0", "master", "br0");
    const { msg, code } = bench.caller.fail({ ...one.vrf, command: "ADD" });
    expect({ msg, code }).toEqual({ msg: 'Cannot make "eth0" a port of VRF "red": "eth0" already has a master: "br0"', code: 7 });
    expect(vrfs(sandbox)).toEqual(["red 10"]);
  });

  it("an ADD that cannot keep one of the routes fails, and leaves the container as before", () => {
    const one = attach(sandbox, "eth0");
    const before = sandbox.snapshot();
    const willing = new RefusingKernel();
    willing.during(() => bench.caller.succeed({ ...one.vrf, command: "ADD" }));
    bench.caller.succeed({ ...one.vrf, command: "DEL" });
    expect(sandbox.snapshot()).toEqual(before);
    const routes = willing.changes.flatMap(({ about }, at) => (about === "RTM_NEWROUTE" ? [at] : []));
    expect(routes.length).toBeGreaterThan(2);
    for (const at of routes) {
      const kernel = new RefusingKernel(at, "EBUSY");
      const { msg } = kernel.during(() => bench.caller.fail({ ...one.vrf, command: "ADD" }));
      expect(msg).toMatch(/^Cannot make "eth0" a port of VRF "red": Cannot keep route .* of "eth0": /);
      expect(sandbox.snapshot()).toEqual(before);
    }
  });

  it("the next call brings back the routes that the kernel took when a call was killed half way", () => {
    const one = attach(sandbox, "eth0");
    const before = routesOver(sandbox, "eth0");
    const moveHalfWay = (): void => {
      sandbox.ip("link", "add", "red", "up", "type", "vrf", "table", "1");
      sandbox.ip("link", "set", "eth0", "master", "red");
      expect(routesOver(sandbox, "eth0")).not.toContain("default via 10.91.0.1 table 1");
    };
    moveHalfWay();
    bench.caller.succeed({ ...one.vrf, command: "ADD" });
    expect(routesOver(sandbox, "eth0")).toEqual(inTable(" table 1"));
    bench.caller.succeed({ ...one.vrf, command: "DEL" });
    expect(routesOver(sandbox, "eth0")).toEqual(before);
    moveHalfWay();
    bench.caller.succeed({ ...one.vrf, command: "DEL" });
    expect(routesOver(sandbox, "eth0")).toEqual(before);
    moveHalfWay();
    sandbox.ip("link", "set", "eth0", "nomaster"); // and a DEL, killed after it
    bench.caller.succeed({ ...one.vrf, command: "DEL" });
    expect(routesOver(sandbox, "eth0")).toEqual(before);
    expect(vrfs(sandbox)).toEqual([]);
  });

  it("a route over another interface stays the other's", () => {
    const one = attach(sandbox, "eth0", { bridge: { ipam: { type: "host-local", ranges, routes: [{ dst: "0.0.0.0/0" }] } } });
    const two = attach(sandbox, "net1", { vrf: {}, bridge: { isGateway: false } });
    sandbox.ip("link", "set", "net1", "nomaster");
    bench.caller.succeed({ ...two.vrf, command: "DEL" });
    expect(routesOver(sandbox, "eth0")).toContain("default via 10.91.0.1");
    expect(routesOver(sandbox, "net1")).not.toContain("default via 10.91.0.1");
    detach(one);
  });

  it("CHECK says where the interface is instead", () => {
    const one = attach(sandbox, "eth0", { vrf: {} });
    sandbox.ip("link", "set", "eth0", "nomaster");
    expect(bench.caller.fail({ ...one.vrf, command: "CHECK" }).msg).toContain('the master of "eth0" is missing, expected "red"');
    sandbox.ip("link", "set", "red", "down");
    expect(bench.caller.fail({ ...one.vrf, command: "CHECK" }).msg).toContain('"red" is "down", expected "up"');
  });
});

describe.skipIf(has)("vrf (needs a kernel without CONFIG_NET_VRF)", () => {
  it("says what to build or load, and leaves all as it was", () => {
    const one = attach(sandbox, "eth0");
    const before = sandbox.snapshot();
    const words = 'this kernel has no links of kind vrf: it needs CONFIG_NET_VRF, or, built as a module, "modprobe vrf"';
    expect(bench.caller.fail({ ...one.vrf, command: "ADD" }).msg).toBe(`Cannot make "eth0" a port of VRF "red": ${words}`);
    expect(bench.caller.fail({ type: "vrf", command: "STATUS", config: one.vrf.config })).toMatchObject({
      code: 50,
      msg: `Cannot make VRFs: ${words}`,
    });
    bench.caller.succeed({ ...one.vrf, command: "DEL" });
    expect(sandbox.snapshot()).toEqual(before);
  });
});
