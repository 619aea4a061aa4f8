import { describe, expect, it } from "vitest";
import { Bench } from "../support/attach.ts";
import type { Json, PluginCall } from "../support/call-plugin.ts";
import { FrameSocket } from "../support/frames.ts";
import { needs, supports } from "../support/kernel-features.ts";
import { leases, makeSandbox, output, type Sandbox } from "../support/node.ts";
import { makeUplink, UPLINK, upperNetwork } from "../support/uplink.ts";

// Type vlan on an uplink with a machine at its other end, which has feet in VLANs too.

const bench = new Bench();
const network = (more: Json = {}) => upperNetwork("vlan", { vlanId: 100, ...more });

function linkIn(sandbox: Sandbox): Json | undefined {
  return sandbox.ipJson("link", "show").find(({ ifname }) => ifname === "eth0");
}

function callOf(command: string, sandbox: { readonly path: string }, more: Partial<PluginCall> = {}): PluginCall {
  return { type: "vlan", command, containerId: "cid-1", netns: sandbox.path, config: network(), ...more };
}

/** Moves the addresses of the machine at the other end into a VLAN; another VLAN is beside it. */
function enterVlan(peer: Sandbox): void {
  for (const id of ["100", "101"]) {
    peer.ip("link", "add", "link", "eth0", "name", `eth0.${id}`, "type", "vlan", "id", id);
    peer.ip("link", "set", `eth0.${id}`, "up");
  }
  peer.ip("address", "flush", "dev", "eth0");
  peer.ip("address", "add", "10.91.0.1/24", "dev", "eth0.100");
  peer.ip("address", "add", "fd00:91::1/64", "dev", "eth0.100", "nodad");
}

describe.skipIf(!supports("vlan"))(`vlan${needs("vlan")}`, () => {
  it("puts the container into a VLAN of the parent", () => {
    const peer = makeUplink();
    enterVlan(peer);
    const { result, sandbox, who, v4, v6 } = bench.attach(network());
    expect(linkIn(sandbox)).toMatchObject({
      ifalias: "podlink net1 cid-1 eth0",
      linkinfo: { info_kind: "vlan", info_data: { protocol: "802.1Q", id: 100 } },
    });
    expect(result.interfaces).toMatchObject([{ name: "eth0", mtu: 1500, sandbox: sandbox.path }]);
    for (const address of ["10.91.0.1", "fd00:91::1"]) expect(sandbox.ping(address)).toBe(true);
    for (const address of [v4, v6]) expect(peer.ping(address)).toBe(true);
    bench.caller.succeed({ ...who, command: "CHECK" });
    bench.detach({ who });
    expect(linkIn(sandbox)).toBeUndefined();
    expect(leases()).toEqual([]);
  });

  it("sends and takes frames with its tag and no others", () => {
    const peer = makeUplink();
    enterVlan(peer);
    const { sandbox } = bench.attach(network());
    const [inside, wire] = [new FrameSocket(sandbox, "eth0"), new FrameSocket(peer, "eth0")];
    const [same, other] = [new FrameSocket(peer, "eth0.100"), new FrameSocket(peer, "eth0.101")];
    inside.send("from the container");
    expect(same.receive(10_000)).toBe("from the container");
    expect(other.receive(0)).toBeUndefined();
    wire.send("without a tag");
    wire.send("in another VLAN", { vlan: 101 });
    wire.send("in the VLAN", { vlan: 100 });
    expect(inside.receive(10_000)).toBe("in the VLAN");
    expect(inside.receive(0)).toBeUndefined();
  });

  it("records the command that a person would type", () => {
    makeUplink();
    const sandbox = makeSandbox();
    const { steps } = bench.caller.succeed(callOf("ADD", sandbox, { config: network({ mtu: 1400 }) }));
    const [created = ""] = steps.filter((step) => step.includes("ip link add"));
    expect(created).toBe(`ip link add link up0 name eth0 mtu 1400 netns ${sandbox.path} group 1886151012 type vlan id 100`);
    bench.caller.succeed(callOf("DEL", sandbox));
    output("sh", "-c", created);
    expect(linkIn(sandbox)).toMatchObject({ mtu: 1400, linkinfo: { info_data: { id: 100 } } });
  });

  it("refuses a VLAN that another container has, until that one is gone", () => {
    makeUplink();
    const first = bench.attach(network());
    const sandbox = makeSandbox();
    const second = callOf("ADD", sandbox, { containerId: "second" });
    expect(bench.caller.fail(second)).toMatchObject({
      code: 11,
      msg: expect.stringContaining('"up0" has an interface for VLAN 100'),
    });
    expect(leases()).toHaveLength(2);
    bench.detach(first);
    bench.caller.succeed(second);
  });

  it("without IPAM brings the interface up and no more", () => {
    makeUplink();
    const { ipam: _, ...config } = network();
    const { result, sandbox, who } = bench.attach(config as ReturnType<typeof network>);
    expect(result).not.toHaveProperty("ips");
    expect(linkIn(sandbox)?.flags).toContain("UP");
    bench.caller.succeed({ ...who, command: "CHECK" });
    bench.detach({ who });
  });

  it("needs no parent for DEL, and releases the lease", () => {
    makeUplink();
    const { sandbox, who } = bench.attach(network());
    output("ip", "link", "del", UPLINK);
    expect(linkIn(sandbox)).toBeUndefined();
    for (const netns of [sandbox.path, sandbox.path, "/run/netns/gone"]) bench.detach({ who: { ...who, netns } });
    expect(leases()).toEqual([]);
  });

  it("stands on a link of the container where it is told to", () => {
    const sandbox = makeSandbox();
    sandbox.ip("link", "add", "below0", "type", "veth", "peer", "name", "below1");
    sandbox.ip("link", "set", "below0", "up"); // or the kernel does not let a VLAN be up
    const { who } = bench.attach(network({ master: "below0", linkInContainer: true }), { sandbox });
    expect(linkIn(sandbox)).toMatchObject({ link: "below0" });
    bench.caller.succeed({ ...who, command: "CHECK" });
    const config = {
      ...network({ master: "below0", linkInContainer: true, vlanId: 7 }),
      prevResult: (who.config as Json).prevResult,
    };
    expect(bench.caller.fail({ ...who, command: "CHECK", config }).msg).toContain("its VLAN is 100, expected 7");
    bench.detach({ who });
  });
});

describe.skipIf(supports("vlan"))("a kernel without CONFIG_VLAN_8021Q", () => {
  it("is named by ADD and STATUS, with the module", () => {
    makeUplink();
    const sandbox = makeSandbox();
    const words = 'this kernel has no links of kind vlan: it needs CONFIG_VLAN_8021Q, or, built as a module, "modprobe 8021q"';
    expect(bench.caller.fail(callOf("ADD", sandbox)).msg).toContain(words);
    expect(bench.caller.fail(callOf("STATUS", sandbox))).toMatchObject({ code: 50, msg: expect.stringContaining(words) });
    bench.caller.succeed(callOf("DEL", sandbox));
  });
});
