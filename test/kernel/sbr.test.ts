import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import type { Result } from "../../src/cni/result.ts";
import { Bench } from "../support/attach.ts";
import { DyingSteps, type Json, type PluginCall } from "../support/call-plugin.ts";
import { makeSandbox, nodeSnapshot, output, type Sandbox } from "../support/node.ts";
import { makeOutside, type Outside } from "../support/outside.ts";
import { ask, serve } from "../support/talk.ts";

// A container on two networks, each behind a bridge of the node, and somebody outside who asks it at the addresses of both. The node is
// as strict as a router that knows its networks: what has an address of one and comes in from the other is dropped.

const bench = new Bench();

interface Network {
  readonly ifname: string;
  readonly name: string;
  readonly v4: string;
  readonly v6: string;
}

const first: Network = { ifname: "eth0", name: "one", v4: "10.91", v6: "fd00:91" };
const second: Network = { ifname: "net1", name: "two", v4: "10.92", v6: "fd00:92" };

function bridgeOf({ name, v4, v6 }: Network, more: Json = {}): Json & { type: string } {
  const ranges = [[{ subnet: `${v4}.0.0/24` }], [{ subnet: `${v6}::/64` }]];
  return {
    cniVersion: "1.1.0",
    name,
    type: "bridge",
    bridge: `br-${name}`,
    isDefaultGateway: true,
    ipam: { type: "host-local", ranges },
    ...more,
  };
}

/** An interface, and what DEL and CHECK of both plugins of its chain are called with. */
interface Interface {
  readonly network: Network;
  readonly result: Result;
  readonly addresses: readonly string[];
  readonly bridge: Omit<PluginCall, "command">;
  readonly sbr: Omit<PluginCall, "command">;
}

/** Attaches a container to a network; with `sbr`, those are the keys of that type. */
function attach(sandbox: Sandbox, network: Network, options: { sbr?: Json | undefined; bridge?: Json } = {}): Interface {
  const config = bridgeOf(network, options.bridge);
  const who = { containerId: "cid-1", netns: sandbox.path, ifname: network.ifname };
  const bridge = { ...who, type: "bridge", config };
  const made = bench.caller.add(bridge);
  const chained: Json = { cniVersion: "1.1.0", name: network.name, type: "sbr", ...options.sbr, prevResult: made };
  const sbr = { ...who, type: "sbr", config: chained };
  const result = options.sbr === undefined ? made : bench.caller.add(sbr);
  expect(result).toEqual(made);
  const addresses = (result.ips ?? []).map(({ address }) => address.split("/")[0] ?? "");
  return { network, result, addresses, bridge: { ...bridge, config: { ...config, prevResult: made } }, sbr };
}

function check({ bridge, sbr }: Interface): void {
  for (const who of [bridge, sbr]) bench.caller.succeed({ ...who, command: "CHECK" });
}

function detach({ bridge, sbr }: Interface): void {
  for (const who of [sbr, bridge]) bench.caller.succeed({ ...who, command: "DEL" });
}

/** Rules of both families that the kernel has not made, `from 10.91.0.2 lookup 100 proto 112`. */
function rules(sandbox: Sandbox): string[] {
  return ["-4", "-6"].flatMap((family) =>
    sandbox
      .ip("-details", family, "rule")
      .split("\n")
      .filter((line) => line !== "" && !line.includes("proto kernel"))
      .map((line) => line.replace(/^\d+:\s+/, "").trim())
      .reverse(),
  );
}

/** Routes of both families in a table, by their first words and marked where podlink made them; IPv6's link-local ones left out. */
function routes(sandbox: Sandbox, table: number | "main", dev?: string): string[] {
  return ["-4", "-6"].flatMap((family) =>
    sandbox
      .ip(family, "route", "show", "table", "all", ...(dev === undefined ? [] : ["dev", dev]))
      .split("\n")
      .filter((line) => line !== "" && (/ table (\S+)/.exec(line)?.[1] ?? "main") === String(table) && !line.startsWith("fe80"))
      .map((line) => /^(\S+( via \S+)?)/.exec(line)?.[0] + (line.includes("proto 112") ? " (ours)" : "")),
  );
}

let outside: Outside;
let sandbox: Sandbox;
beforeEach(() => {
  outside = makeOutside();
  sandbox = makeSandbox();
  for (const { name, v4, v6 } of [first, second]) {
    const inner = name === "one" ? "br-two" : "br-one";
    output("nft", `add table inet strict; add chain inet strict ${name} { type filter hook prerouting priority 0; }`);
    output("nft", `add rule inet strict ${name} iifname ${inner} ip saddr ${v4}.0.0/16 drop`);
    output("nft", `add rule inet strict ${name} iifname ${inner} ip6 saddr ${v6}::/32 drop`);
  }
});

const reached = (addresses: readonly string[], timeoutMs = 2000) =>
  addresses.map((address) => outside.sandbox.ping(address, { timeoutMs }));

describe("two networks on one container", () => {
  it("answers leave by the default route, whatever address was asked, without sbr", () => {
    const one = attach(sandbox, first);
    const two = attach(sandbox, second, { bridge: { isDefaultGateway: false, isGateway: true } });
    expect(reached(one.addresses)).toEqual([true, true]);
    expect(reached(two.addresses, 300)).toEqual([false, false]);
    // the very same with it
    bench.caller.succeed({ ...two.sbr, command: "ADD" });
    expect(reached([...one.addresses, ...two.addresses])).toEqual([true, true, true, true]);
  });

  it("answers leave by the interface that the question came in on, with sbr", async () => {
    const one = attach(sandbox, first, { sbr: {} });
    const two = attach(sandbox, second, { sbr: {} });
    expect(reached([...one.addresses, ...two.addresses])).toEqual([true, true, true, true]);
    for (const each of [one, two]) {
      check(each);
      for (const address of each.addresses) {
        await serve((work) => sandbox.run(work), { protocol: "tcp", address, port: 8080, name: address });
        const answer = ask((work) => outside.sandbox.run(work), { protocol: "tcp", address, port: 8080 });
        expect(answer).toBe(`${address} ${address.includes(":") ? outside.v6 : outside.v4}`);
      }
    }
    expect(rules(sandbox)).toEqual([
      "from 10.91.0.2 lookup 100 proto 112",
      "from 10.92.0.2 lookup 102 proto 112",
      "from fd00:91::2 lookup 101 proto 112",
      "from fd00:92::2 lookup 103 proto 112",
    ]);
    expect([100, 101, 102, 103, "main" as const].map((table) => routes(sandbox, table))).toEqual([
      ["default via 10.91.0.1", "10.91.0.0/24"],
      ["fd00:91::/64", "default via fd00:91::1"],
      ["default via 10.92.0.1", "10.92.0.0/24"],
      ["fd00:92::/64", "default via fd00:92::1"],
      [],
    ]);
  });

  it("the second alone with sbr: the first is as it was, connections without a source of their own leave by it", () => {
    const one = attach(sandbox, first);
    const before = routes(sandbox, "main");
    const two = attach(sandbox, second, { sbr: {} });
    expect(routes(sandbox, "main")).toEqual(before);
    expect(reached([...one.addresses, ...two.addresses])).toEqual([true, true, true, true]);
    expect(sandbox.ping(outside.v4)).toBe(true);
    expect(sandbox.ip("route", "get", outside.v4)).toContain("via 10.91.0.1 dev eth0");
    expect(sandbox.ip("route", "get", outside.v6)).toContain("via fd00:91::1 dev eth0");
  });

  it("one is removed, the other goes on, and its tables are free for the next", () => {
    const one = attach(sandbox, first, { sbr: {} });
    const two = attach(sandbox, second, { sbr: {} });
    detach(one);
    expect(rules(sandbox)).toEqual(["from 10.92.0.2 lookup 102 proto 112", "from fd00:92::2 lookup 103 proto 112"]);
    expect(reached(two.addresses)).toEqual([true, true]);
    check(two);
    const again = attach(sandbox, first, { sbr: {} });
    expect(rules(sandbox)).toEqual([
      "from 10.92.0.2 lookup 102 proto 112",
      "from 10.91.0.3 lookup 100 proto 112",
      "from fd00:92::2 lookup 103 proto 112",
      "from fd00:91::3 lookup 101 proto 112",
    ]);
    expect(reached([...again.addresses, ...two.addresses])).toEqual([true, true, true, true]);
    detach(two);
    expect(reached(again.addresses)).toEqual([true, true]);
    detach(again);
    expect(rules(sandbox)).toEqual([]);
    expect(sandbox.ipJson("link", "show")).toMatchObject([{ ifname: "lo" }]);
  });

  it("sbr's DEL alone puts routes back, but no default route beside another's", () => {
    const one = attach(sandbox, first);
    const before = routes(sandbox, "main");
    const two = attach(sandbox, second, { sbr: {} });
    bench.caller.succeed({ ...two.sbr, command: "DEL" });
    expect(rules(sandbox)).toEqual([]);
    expect(routes(sandbox, "main", "net1")).toEqual(["10.92.0.0/24", "fd00:92::/64"]);
    expect(routes(sandbox, "main", "eth0")).toEqual(before);
    expect(reached(one.addresses)).toEqual([true, true]);
  });

  it("both may have given the container the same address", () => {
    const subnet = { ipam: { type: "host-local", ranges: [[{ subnet: "10.99.0.0/24" }]] } };
    const one = attach(sandbox, first, { sbr: {}, bridge: subnet });
    const two = attach(sandbox, second, { sbr: {}, bridge: { ...subnet, forceAddress: true } });
    expect([one, two].map(({ addresses }) => addresses)).toEqual([["10.99.0.2"], ["10.99.0.2"]]);
    expect(rules(sandbox)).toEqual(["from 10.99.0.2 lookup 100 proto 112", "from 10.99.0.2 lookup 101 proto 112"]);
    check(one);
    check(two);
    detach(one);
    expect(rules(sandbox)).toEqual(["from 10.99.0.2 lookup 101 proto 112"]);
    check(two);
    detach(two);
    expect(rules(sandbox)).toEqual([]);
  });
});

describe("several addresses", () => {
  const ranges = ["10.92.0.0/24", "10.92.1.0/24", "fd00:92::/64", "fd00:92:0:1::/64"].map((subnet) => [{ subnet }]);
  const several = {
    isDefaultGateway: false,
    ipam: { type: "host-local", ranges, routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }] },
  };

  /** A bridge gives the node one address of each family. */
  beforeEach(() => {
    output("ip", "link", "add", "br-two", "type", "bridge");
    writeFileSync("/proc/sys/net/ipv6/conf/br-two/accept_dad", "0"); // or it asks for no neighbour until it knows its own address
    output("ip", "link", "set", "br-two", "up");
    for (const subnet of ["10.92.0", "10.92.1"]) output("ip", "address", "add", `${subnet}.1/24`, "dev", "br-two");
    for (const subnet of ["fd00:92:", "fd00:92:0:1:"]) output("ip", "address", "add", `${subnet}:1/64`, "dev", "br-two", "nodad");
    for (const key of ["ipv4/ip_forward", "ipv6/conf/all/forwarding"]) writeFileSync(`/proc/sys/net/${key}`, "1");
  });

  it("each has a table with its own gateway", () => {
    attach(sandbox, first, { sbr: {} });
    const two = attach(sandbox, second, { sbr: {}, bridge: several });
    expect(two.addresses).toEqual(["10.92.0.2", "10.92.1.2", "fd00:92::2", "fd00:92:0:1::2"]);
    expect(reached(two.addresses)).toEqual([true, true, true, true]);
    check(two);
    expect([102, 103, 104, 105].map((table) => routes(sandbox, table))).toEqual([
      ["default via 10.92.0.1", "10.92.0.0/24"],
      ["default via 10.92.1.1 (ours)", "10.92.1.0/24"],
      ["fd00:92::/64", "fd00:92:0:1::/64", "default via fd00:92::1"],
      ["fd00:92::/64", "fd00:92:0:1::/64", "default via fd00:92:0:1::1 (ours)"],
    ]);
    detach(two);
    expect(rules(sandbox)).toHaveLength(2);
  });

  it("of one network share its routes", () => {
    const addresses = ["10.92.0.7/24", "10.92.0.8/24"].map((address) => ({ address, gateway: "10.92.0.1" }));
    const routesWanted = [{ dst: "0.0.0.0/0" }, { dst: "10.200.0.0/16", gw: "10.92.0.9", mtu: 1400, advmss: 1300 }];
    const ipam = { type: "static", addresses, routes: routesWanted };
    const two = attach(sandbox, second, { sbr: {}, bridge: { isDefaultGateway: false, ipam } });
    expect(reached(two.addresses)).toEqual([true, true]);
    for (const table of [100, 101]) {
      expect(routes(sandbox, table)).toEqual(["default via 10.92.0.1", "10.92.0.0/24", "10.200.0.0/16 via 10.92.0.9"]);
      expect(sandbox.ip("route", "show", "table", String(table))).toContain("mtu 1400 advmss 1300");
    }
  });

  it("go where `gateways` says, those in its network and those without a gateway", () => {
    const gateways = ["10.92.0.254", "fd00:92::fe"];
    const two = attach(sandbox, second, { sbr: { gateways }, bridge: several });
    expect([100, 101, 102, 103].map((table) => routes(sandbox, table).filter((line) => line.startsWith("default")))).toEqual([
      ["default via 10.92.0.254 (ours)", "default via 10.92.0.1"],
      ["default via 10.92.1.1 (ours)"],
      ["default via fd00:92::fe (ours)", "default via fd00:92::1"],
      ["default via fd00:92:0:1::1 (ours)"],
    ]);
    const way = (to: string, from: string) => sandbox.ip("route", "get", to, "from", from);
    expect(way(outside.v4, "10.92.0.2")).toContain("via 10.92.0.254");
    expect(way(outside.v6, "fd00:92::2")).toContain("via fd00:92::fe");
    check(two);
    const failed = bench.caller.fail({
      ...two.sbr,
      config: { ...(two.sbr.config as Json), gateways: ["10.92.0.253"] },
      command: "CHECK",
    });
    expect(failed.msg).toMatch(/^Cannot find route default via 10\.92\.0\.253 in table 100 over "net1": it has .*10\.92\.0\.254/);
    bench.caller.succeed({ ...two.sbr, command: "DEL" });
    expect(routes(sandbox, "main")).toEqual([
      "default via 10.92.0.1",
      "10.92.0.0/24",
      "10.92.1.0/24",
      "fd00:92::/64",
      "fd00:92:0:1::/64",
      "default via fd00:92::1",
    ]);
  });
});

describe("keys", () => {
  it("`table`: rules alone, to a table in which IPAM has put routes, which stay there", () => {
    const ranges = [[{ subnet: "10.92.0.0/24" }], [{ subnet: "fd00:92::/64" }]];
    const ipam = {
      type: "host-local",
      ranges,
      routes: [
        { dst: "0.0.0.0/0", table: 77 },
        { dst: "::/0", table: 77 },
      ],
    };
    attach(sandbox, first);
    const two = attach(sandbox, second, { sbr: { table: 77 }, bridge: { isDefaultGateway: false, isGateway: true, ipam } });
    expect(rules(sandbox)).toEqual(["from 10.92.0.2 lookup 77 proto 112", "from fd00:92::2 lookup 77 proto 112"]);
    expect(routes(sandbox, 77)).toEqual(["default via 10.92.0.1", "default via fd00:92::1"]);
    expect(routes(sandbox, "main", "net1")).toEqual(["10.92.0.0/24", "fd00:92::/64"]);
    expect(reached(two.addresses)).toEqual([true, true]);
    check(two);
    expect(bench.caller.fail({ ...two.sbr, config: { ...(two.sbr.config as Json), table: 78 }, command: "CHECK" }).msg).toBe(
      "Cannot find the rule for packets from 10.92.0.2: it leads to table 77, expected 78; " +
        "Cannot find the rule for packets from fd00:92::2: it leads to table 77, expected 78",
    );
    bench.caller.succeed({ ...two.sbr, command: "DEL" });
    expect(rules(sandbox)).toEqual([]);
    expect(routes(sandbox, 77)).toEqual(["default via 10.92.0.1", "default via fd00:92::1"]);
  });

  it("`addSourceHints`: the link's networks stay in the main table, with an address to come from", () => {
    const mainV6 = () => sandbox.ip("-6", "route", "show", "table", "main", "dev", "net1").replace(/^fe80.*\n/m, "");
    const two = attach(sandbox, second, {});
    const [v4, v6] = [sandbox.ip("route", "show", "table", "main"), mainV6()];
    bench.caller.succeed({ ...two.sbr, command: "ADD", config: { ...(two.sbr.config as Json), addSourceHints: true } });
    expect(routes(sandbox, "main")).toEqual(["10.92.0.0/24", "fd00:92::/64 (ours)"]);
    expect(sandbox.ip("route", "get", "10.92.0.1")).toContain("src 10.92.0.2");
    expect(mainV6()).toMatch(/^fd00:92::\/64 .*src fd00:92::2/);
    expect(sandbox.ping("10.92.0.1")).toBe(true);
    expect(sandbox.ping("fd00:92::1")).toBe(true);
    expect(reached(two.addresses)).toEqual([true, true]);
    check(two);
    bench.caller.succeed({ ...two.sbr, command: "DEL" });
    expect([sandbox.ip("route", "show", "table", "main"), mainV6()]).toEqual([v4, v6]);
  });

  it("gateways of routed mode, in no network of an address, are kept", () => {
    const config: Json = {
      cniVersion: "1.1.0",
      name: "pods",
      type: "podlink",
      ipam: { type: "host-local", ranges: [[{ subnet: "10.92.0.0/24" }], [{ subnet: "fd00:92::/64" }]] },
    };
    const who = { containerId: "cid-1", netns: sandbox.path };
    const prevResult = bench.caller.add({ ...who, type: "podlink", config });
    const before = [routes(sandbox, "main"), rules(sandbox)];
    const sbr = { ...who, type: "sbr", config: { cniVersion: "1.1.0", name: "pods", type: "sbr", prevResult } };
    bench.caller.add(sbr);
    expect(outside.sandbox.ping("10.92.0.2")).toBe(true);
    expect(outside.sandbox.ping("fd00:92::2")).toBe(true);
    bench.caller.succeed({ ...sbr, command: "CHECK" });
    bench.caller.succeed({ ...who, type: "podlink", config: { ...config, prevResult }, command: "CHECK" });
    bench.caller.succeed({ ...sbr, command: "DEL" });
    expect([routes(sandbox, "main"), rules(sandbox)]).toEqual(before);
  });

  it("says that the only default route has gone, and not where another is left", () => {
    const one = attach(sandbox, first);
    const words = bench.caller.succeed({ ...one.sbr, command: "ADD" }).stderr;
    expect(words).toContain('"eth0" had the only IPv4 default route');
    expect(words).toContain('"eth0" had the only IPv6 default route');
    bench.caller.succeed({ ...one.sbr, command: "DEL" });
    const two = attach(sandbox, second);
    expect(bench.caller.succeed({ ...two.sbr, command: "ADD" }).stderr).not.toContain("default route");
  });
});

describe("DEL", () => {
  it("of an interface that is gone takes its rules away and nobody else's", () => {
    const one = attach(sandbox, first, { sbr: {} });
    const two = attach(sandbox, second, { sbr: {} });
    sandbox.ip("rule", "add", "from", "10.91.0.2", "table", "55", "protocol", "static");
    sandbox.ip("rule", "add", "from", "192.0.2.200", "table", "56");
    sandbox.ip("link", "del", "eth0");
    const { config, ...who } = one.sbr;
    bench.caller.succeed({ ...who, config: { ...(config as Json), prevResult: undefined }, command: "DEL" });
    expect(rules(sandbox).filter((line) => line.includes("112"))).toEqual([
      "from 10.92.0.2 lookup 102 proto 112",
      "from fd00:92::2 lookup 103 proto 112",
    ]);
    expect(rules(sandbox)).toHaveLength(4);
    check(two);
    expect(reached(two.addresses)).toEqual([true, true]);
    bench.caller.succeed({ ...one.sbr, command: "DEL" });
    expect(rules(sandbox)).toHaveLength(4);
  });

  it("leaves rules alone that look at more than the source", () => {
    const one = attach(sandbox, first, { sbr: {} });
    sandbox.ip("rule", "add", "from", "10.91.0.2", "fwmark", "7", "table", "55", "protocol", "112");
    sandbox.ip("rule", "add", "from", "10.91.0.0/24", "table", "55", "protocol", "112");
    detach(one);
    expect(rules(sandbox)).toHaveLength(2);
  });

  it("has nothing to do on the node, nor where the namespace is gone", () => {
    const one = attach(sandbox, first, { sbr: {} });
    const node = nodeSnapshot();
    const steps = bench.caller.succeed({ ...one.sbr, netns: "/run/netns/gone", command: "DEL" }).steps;
    expect(steps).toEqual([]);
    bench.caller.succeed({ ...one.sbr, command: "DEL" });
    expect(nodeSnapshot()).toEqual(node);
  });
});

describe("ADD", () => {
  it("killed after any of its changes is cleared away by the next, or by DEL", () => {
    const one = attach(sandbox, first, {});
    const clean = [rules(sandbox), sandbox.snapshot()];
    const config = { ...(one.sbr.config as Json), addSourceHints: true };
    const add = { ...one.sbr, config, command: "ADD" };
    const { steps } = bench.caller.succeed(add);
    const done = [rules(sandbox), sandbox.snapshot()];
    bench.caller.succeed({ ...add, command: "DEL" });
    expect([rules(sandbox), sandbox.snapshot()]).toEqual(clean);
    for (let changes = 0; changes < steps.length; changes++) {
      bench.caller.fail({ ...add, steps: new DyingSteps(changes) });
      bench.caller.succeed(add);
      expect([rules(sandbox), sandbox.snapshot()], `after ${changes} changes: ADD`).toEqual(done);
      bench.caller.succeed({ ...add, command: "DEL" });
      bench.caller.fail({ ...add, steps: new DyingSteps(changes) });
      bench.caller.succeed({ ...add, command: "DEL" });
      expect([rules(sandbox), sandbox.snapshot()], `after ${changes} changes: DEL`).toEqual(clean);
    }
  });

  it("undoes itself where the kernel refuses a gateway", () => {
    const one = attach(sandbox, first, {});
    const clean = [rules(sandbox), sandbox.snapshot()];
    const config = { ...(one.sbr.config as Json), gateways: ["10.91.0.1", "2001:db8:5::1"] };
    const { msg } = bench.caller.fail({ ...one.sbr, config, command: "ADD" });
    expect(msg).toMatch(/^Cannot route by the addresses of "eth0": RTM_NEWROUTE: /);
    expect([rules(sandbox), sandbox.snapshot()]).toEqual(clean);
  });

  it.each([
    ["no addresses", 0],
    ["an address of one family", 1],
  ])("told of %s, leaves the routes that no table would get where they are", (_title, count) => {
    const one = attach(sandbox, first, {});
    const clean = [rules(sandbox), sandbox.snapshot()];
    const ipv6 = routes(sandbox, "main").filter((route) => route.includes(":"));
    const prevResult = { ...one.result, ips: (one.result.ips ?? []).slice(0, count) };
    const told = { ...one.sbr, config: { ...(one.sbr.config as Json), prevResult } };
    bench.caller.succeed({ ...told, command: "ADD" });
    expect(ipv6).not.toEqual([]);
    expect(routes(sandbox, "main").filter((route) => route.includes(":"))).toEqual(ipv6);
    if (count === 0) expect([rules(sandbox), sandbox.snapshot()]).toEqual(clean);
    bench.caller.succeed({ ...told, command: "CHECK" });
    bench.caller.succeed({ ...told, command: "DEL" });
    expect([rules(sandbox), sandbox.snapshot()]).toEqual(clean);
  });

  it("of an interface that is not there says so", () => {
    const one = attach(sandbox, first, {});
    expect(bench.caller.fail({ ...one.sbr, ifname: "net7", command: "ADD" })).toMatchObject({
      msg: 'Cannot route by the addresses of "net7": Link "net7" not found',
      steps: [],
    });
  });

  it("of several interfaces at once gives each its own tables", async () => {
    const networks = Array.from({ length: 4 }, (_, i) => ({
      ifname: `net${i}`,
      name: `n${i}`,
      v4: `10.${100 + i}`,
      v6: `fd00:${100 + i}`,
    }));
    const attached = networks.map((network) => attach(sandbox, network));
    const program = new URL("../support/sbr-process.ts", import.meta.url).pathname;
    const ends = attached.map(({ sbr }) => {
      const parameters = ["--disable-warning=ExperimentalWarning", program, JSON.stringify(sbr)];
      const child = spawn(process.execPath, parameters, { stdio: ["pipe", "pipe", "inherit"] });
      const ready = new Promise((resolve) => child.stdout.once("data", resolve));
      return { child, ready, done: new Promise((resolve) => child.on("exit", resolve)) };
    });
    await Promise.all(ends.map(({ ready }) => ready));
    for (const { child } of ends) child.stdin.end();
    expect(await Promise.all(ends.map(({ done }) => done))).toEqual(networks.map(() => 0));
    const tables = rules(sandbox).map((line) => Number(/lookup (\d+)/.exec(line)?.[1]));
    expect(tables.toSorted()).toEqual(Array.from({ length: 8 }, (_, i) => 100 + i));
    for (const each of attached) check(each);
  });
});
