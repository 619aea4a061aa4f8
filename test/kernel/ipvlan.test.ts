import { describe, expect, it } from "vitest";
import { Bench } from "../support/attach.ts";
import type { Json, PluginCall } from "../support/call-plugin.ts";
import { needs, supports } from "../support/kernel-features.ts";
import { ipJson, leases, makeSandbox, output, type Sandbox } from "../support/node.ts";
import { makeUplink, UPLINK, upperNetwork } from "../support/uplink.ts";

// Type ipvlan on an uplink with a machine at its other end.

const bench = new Bench();
const network = (more: Json = {}) => upperNetwork("ipvlan", more);
const [GATEWAY, GATEWAY6] = ["10.91.0.1", "fd00:91::1"];

type Shown = Json & { readonly address: string; readonly linkinfo: { info_data: Json } };

function linkIn(sandbox: Sandbox): Shown | undefined {
  return sandbox.ipJson<Shown>("link", "show").find(({ ifname }) => ifname === "eth0");
}

function callOf(command: string, sandbox: { readonly path: string }, more: Partial<PluginCall> = {}): PluginCall {
  return { type: "ipvlan", command, containerId: "cid-1", netns: sandbox.path, config: network(), ...more };
}

describe.skipIf(!supports("ipvlan"))(`ipvlan${needs("ipvlan")}`, () => {
  it("in mode l2 reaches the world and the other containers under the parent's MAC address", () => {
    const peer = makeUplink();
    const { result, sandbox, who, v4, v6 } = bench.attach(network());
    const [parent] = ipJson<Shown>("link", "show", UPLINK);
    expect(linkIn(sandbox)).toMatchObject({
      address: parent?.address,
      ifalias: "podlink net1 cid-1 eth0",
      linkinfo: { info_kind: "ipvlan", info_data: { mode: "l2" } },
    });
    expect(result.interfaces).toEqual([{ name: "eth0", mac: parent?.address, mtu: 1500, sandbox: sandbox.path }]);
    for (const address of [GATEWAY, GATEWAY6]) expect(sandbox.ping(address)).toBe(true);
    const other = bench.attach(network());
    for (const address of [v4, v6]) expect(other.sandbox.ping(address)).toBe(true);
    for (const address of [other.v4, other.v6]) expect(peer.ping(address)).toBe(true);
    bench.caller.succeed({ ...who, command: "CHECK" });
    bench.detach({ who });
    expect(linkIn(sandbox)).toBeUndefined();
    expect(leases()).toHaveLength(2);
  });

  it.each(["l3", "l3s"])("in mode %s is reached by the node's routes", (mode) => {
    const peer = makeUplink();
    output("ip", "address", "add", "10.91.0.254/24", "dev", UPLINK);
    peer.ip("route", "add", "10.93.0.0/24", "via", "10.91.0.254");
    const ipam = { type: "host-local", ranges: [[{ subnet: "10.93.0.0/24" }]], routes: [{ dst: "0.0.0.0/0" }] };
    const one = bench.attach(network({ mode, ipam }));
    expect(linkIn(one.sandbox)?.linkinfo.info_data).toMatchObject({ mode });
    expect(one.sandbox.ping(GATEWAY)).toBe(true);
    const two = bench.attach(network({ mode, ipam }));
    expect(two.sandbox.ping(one.v4)).toBe(true);
    expect(peer.ping(two.v4)).toBe(true);
    bench.caller.succeed({ ...one.who, command: "CHECK" });
    const config = { ...network({ mode: "l2", ipam }), prevResult: one.result };
    expect(bench.caller.fail({ ...one.who, command: "CHECK", config }).msg).toContain(`its mode is "${mode}", expected "l2"`);
  });

  it("records the command that a person would type", () => {
    makeUplink();
    const sandbox = makeSandbox();
    const { steps } = bench.caller.succeed(callOf("ADD", sandbox, { config: network({ mode: "l3s", mtu: 1400 }) }));
    const [created = ""] = steps.filter((step) => step.includes("ip link add"));
    expect(created).toBe(`ip link add link up0 name eth0 mtu 1400 netns ${sandbox.path} group 1886151012 type ipvlan mode l3s`);
    bench.caller.succeed(callOf("DEL", sandbox));
    output("sh", "-c", created);
    expect(linkIn(sandbox)).toMatchObject({ mtu: 1400, linkinfo: { info_data: { mode: "l3s" } } });
  });

  it("refuses an address that another link upon the parent has, and leaves nothing", () => {
    makeUplink();
    const ipam = { type: "static", addresses: [{ address: "10.91.0.9/24" }] };
    bench.attach(network({ ipam }));
    const sandbox = makeSandbox();
    const { msg } = bench.caller.fail(callOf("ADD", sandbox, { containerId: "second", config: network({ ipam }) }));
    expect(msg).toContain("EADDRINUSE");
    expect(linkIn(sandbox)).toBeUndefined();
  });

  it("needs neither its parent nor a default route for DEL", () => {
    makeUplink();
    output("ip", "route", "add", "default", "dev", UPLINK);
    const { master: _, ...config } = network();
    const { sandbox, who } = bench.attach(config as ReturnType<typeof network>);
    output("ip", "route", "del", "default");
    bench.caller.succeed({ ...who, command: "CHECK" });
    output("ip", "link", "del", UPLINK);
    expect(linkIn(sandbox)).toBeUndefined();
    for (const netns of [sandbox.path, sandbox.path, "/run/netns/gone"]) bench.detach({ who: { ...who, netns } });
    expect(leases()).toEqual([]);
  });

  it("stands on a link of the container where it is told to", () => {
    const sandbox = makeSandbox();
    sandbox.ip("link", "add", "below0", "type", "veth", "peer", "name", "below1");
    const { who } = bench.attach(network({ master: "below0", linkInContainer: true }), { sandbox });
    expect(linkIn(sandbox)).toMatchObject({ link: "below0" });
    bench.caller.succeed({ ...who, command: "CHECK" });
    bench.detach({ who });
  });

  describe("behind another plugin", () => {
    const { ipam: _ipam, master: _master, ...bare } = network();
    const previous = {
      cniVersion: "1.1.0",
      interfaces: [{ name: UPLINK }],
      ips: [{ address: "10.91.0.77/24", gateway: GATEWAY, interface: 0 }],
      routes: [{ dst: "0.0.0.0/0" }],
      dns: { nameservers: ["10.1.1.1"] },
    };
    const chained = (prevResult: object, more: Json = {}) => ({ ...bare, ...more, prevResult });

    it("takes that one's addresses and interface", () => {
      makeUplink();
      const sandbox = makeSandbox();
      const result = bench.caller.add({ ...callOf("ADD", sandbox), config: chained(previous) });
      expect(result).toMatchObject({
        interfaces: [{ name: "eth0", sandbox: sandbox.path }],
        ips: [{ address: "10.91.0.77/24", interface: 0 }],
        routes: previous.routes,
        dns: previous.dns,
      });
      expect(sandbox.ping(GATEWAY)).toBe(true);
      expect(sandbox.ip("route", "show", "default")).toContain(`via ${GATEWAY} dev eth0`);
      expect(leases()).toEqual([]);
      bench.caller.succeed(callOf("CHECK", sandbox, { config: chained(result) }));
      bench.caller.succeed(callOf("DEL", sandbox, { config: chained(result) }));
      expect(linkIn(sandbox)).toBeUndefined();
    });

    it("asks its own IPAM plugin where it has one, or that one gave no address", () => {
      makeUplink();
      const [one, two] = [makeSandbox(), makeSandbox()];
      const own = { ipam: network().ipam };
      const result = bench.caller.add({ ...callOf("ADD", one), config: chained(previous, own) });
      expect((result.ips ?? []).map(({ address }) => address)).toEqual(["10.91.0.2/24", "fd00:91::2/64"]);
      const config = chained({ cniVersion: "1.1.0", interfaces: [{ name: UPLINK }] }, own);
      bench.caller.add({ ...callOf("ADD", two), containerId: "cid-2", config });
      expect(leases()).toHaveLength(4);
    });

    it("cannot choose between several interfaces", () => {
      makeUplink();
      const sandbox = makeSandbox();
      const config = chained({ ...previous, interfaces: [{ name: UPLINK }, { name: "up1" }] });
      expect(bench.caller.fail(callOf("ADD", sandbox, { config }))).toMatchObject({
        code: 7,
        steps: [],
        msg: expect.stringContaining("PrevResult lacks a single named interface"),
      });
      const named = { ...config, master: UPLINK };
      bench.caller.succeed(callOf("ADD", sandbox, { config: named }));
    });
  });
});

describe.skipIf(supports("ipvlan"))("a kernel without CONFIG_IPVLAN", () => {
  it("is named by ADD and STATUS, with the module", () => {
    makeUplink();
    const sandbox = makeSandbox();
    const words = 'this kernel has no links of kind ipvlan: it needs CONFIG_IPVLAN, or, built as a module, "modprobe ipvlan"';
    expect(bench.caller.fail(callOf("ADD", sandbox)).msg).toContain(words);
    expect(bench.caller.fail(callOf("STATUS", sandbox))).toMatchObject({ code: 50, msg: expect.stringContaining(words) });
    expect(leases()).toEqual([]);
    bench.caller.succeed(callOf("DEL", sandbox));
  });
});
