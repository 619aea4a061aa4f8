import { describe, expect, it } from "vitest";
import { type Attached, Bench, l2Network, v4Network } from "../support/attach.ts";
import { FrameSocket } from "../support/frames.ts";
import { needs, supports } from "../support/kernel-features.ts";
import { ipJson, makeSandbox, nodeSnapshot, output } from "../support/node.ts";

// The VLAN keys of type bridge. Most kernels can filter VLANs on a bridge; what is to be seen only there is skipped by name elsewhere.

const filters = supports("bridge-vlans");
const bench = new Bench();

const SILENCE_MS = 300;

/** VLAN ids of a port, with their flags as `bridge` names them. */
function vlansOf(port: string): Record<number, string[]> {
  const [shown] = JSON.parse(output("bridge", "-json", "vlan", "show", "dev", port)) as {
    vlans?: { vlan: number; flags?: string[] }[];
  }[];
  return Object.fromEntries((shown?.vlans ?? []).map(({ vlan, flags = [] }) => [vlan, flags]));
}

const portOf = ({ result }: Attached): string => result.interfaces?.[1]?.name ?? "";
const untagged = ["PVID", "Egress Untagged"];

describe("VLAN keys that make no sense", () => {
  it.each([
    [{ vlan: 4095 }, '"vlan" is 4095'],
    [{ vlan: -1 }, '"vlan" is -1'],
    [{ vlan: "100" }, '"vlan" is "100"'],
    [{ vlanTrunk: [{ minID: 10, maxID: 5 }] }, "minID 10 is greater than maxID 5"],
    [{ vlanTrunk: [{ minID: 10 }] }, "maxID is missing"],
    [{ vlanTrunk: [{ maxID: 10 }] }, "minID is missing"],
    [{ vlanTrunk: [{ id: 0 }] }, '"vlanTrunk[0].id" is 0'],
    [{ vlanTrunk: [{ id: 4095 }] }, '"vlanTrunk[0].id" is 4095'],
  ])("%j is refused before any work", (keys, text) => {
    const sandbox = makeSandbox();
    const error = bench.caller.fail({ type: "bridge", command: "ADD", netns: sandbox.path, config: l2Network(keys) });
    expect(error).toMatchObject({ code: 7, steps: [], msg: expect.stringContaining(text) });
  });
});

describe.skipIf(filters)(`a kernel without CONFIG_BRIDGE_VLAN_FILTERING${filters ? " (this one has it)" : ""}`, () => {
  it.each([
    ["vlan", { vlan: 100 }],
    ["vlanTrunk", { vlanTrunk: [{ id: 100 }] }],
    ["an empty vlanTrunk", { vlanTrunk: [] }],
  ])("refuses %s by the option's name, and leaves the node as before", (_title, keys) => {
    const before = nodeSnapshot();
    const sandbox = makeSandbox();
    const call = { type: "bridge", command: "ADD", netns: sandbox.path };
    const { code, msg } = bench.caller.fail({ ...call, config: l2Network(keys) });
    expect({ code, msg }).toEqual({ code: 7, msg: expect.stringContaining("CONFIG_BRIDGE_VLAN_FILTERING") });
    expect(nodeSnapshot()).toEqual(before);
    expect(sandbox.ipJson("link", "show")).toHaveLength(1);
  });

  it("refuses vlan on a bridge that is there, and leaves it and its containers as they are", () => {
    const config = v4Network();
    const first = bench.attach(config);
    const before = nodeSnapshot();
    const sandbox = makeSandbox();
    const call = { type: "bridge", command: "ADD", containerId: "cid-9", netns: sandbox.path };
    expect(bench.caller.fail({ ...call, config: v4Network({ vlan: 100 }) })).toMatchObject({
      code: 7,
      msg: expect.stringContaining("CONFIG_BRIDGE_VLAN_FILTERING"),
    });
    expect(nodeSnapshot()).toEqual(before);
    expect(sandbox.ipJson("link", "show")).toHaveLength(1);
    expect(first.sandbox.ping("10.91.0.1")).toBe(true);
  });

  it("has DEL succeed all the same", () => {
    const sandbox = makeSandbox();
    bench.caller.succeed({ type: "bridge", command: "DEL", netns: sandbox.path, config: l2Network({ vlan: 100 }) });
  });
});

describe.skipIf(!filters)(`VLANs${needs("bridge-vlans")}`, () => {
  it("make the bridge filter, and the port a member of the container's alone", () => {
    const attached = bench.attach(l2Network({ vlan: 100 }));
    expect(ipJson("link", "show", "dev", "br1")).toMatchObject([{ linkinfo: { info_data: { vlan_filtering: 1 } } }]);
    expect(vlansOf(portOf(attached))).toEqual({ 100: untagged });
    bench.caller.succeed({ ...attached.who, command: "CHECK" });
  });

  it("of a trunk are tagged, each once, with VLAN 1 for what has no tag", () => {
    const attached = bench.attach(l2Network({ vlanTrunk: [{ minID: 10, maxID: 12 }, { id: 11 }, { id: 20 }] }));
    expect(vlansOf(portOf(attached))).toEqual({ 1: untagged, 10: [], 11: [], 12: [], 20: [] });
  });

  it("of a trunk stand beside the access VLAN", () => {
    const attached = bench.attach(l2Network({ vlan: 100, vlanTrunk: [{ id: 20 }] }));
    expect(vlansOf(portOf(attached))).toEqual({ 20: [], 100: untagged });
  });

  it("keep the default one with preserveDefaultVlan", () => {
    const attached = bench.attach(l2Network({ vlan: 100, preserveDefaultVlan: true }));
    expect(vlansOf(portOf(attached))).toEqual({ 1: ["Egress Untagged"], 100: untagged });
  });

  it("part containers: packets stay in the VLAN", () => {
    const network = (vlan: number) => v4Network({ vlan, isGateway: false });
    const [blue, other, red] = [bench.attach(network(100)), bench.attach(network(100)), bench.attach(network(200))];
    expect(blue.sandbox.ping(other.v4)).toBe(true);
    expect(blue.sandbox.ping(red.v4, { timeoutMs: SILENCE_MS })).toBe(false);
  });

  it("lead tagged frames to and from a trunk port, those of its VLANs only", () => {
    const [blue, red] = [bench.attach(l2Network({ vlan: 100 })), bench.attach(l2Network({ vlan: 200 }))];
    const trunk = bench.attach(l2Network({ vlanTrunk: [{ id: 100 }] }));
    const [inBlue, inRed, inTrunk] = [blue, red, trunk].map(({ sandbox }) => new FrameSocket(sandbox, "eth0"));
    inTrunk?.send("to blue", { vlan: 100 });
    expect(inBlue?.receive(2000)).toBe("to blue");
    expect(inRed?.receive(SILENCE_MS)).toBeUndefined();
    inRed?.send("not for the trunk");
    inBlue?.send("for the trunk");
    expect(inTrunk?.receive(2000)).toBe("for the trunk");
  });

  it("give the node a gateway inside, which the result lists and which stays", () => {
    const config = v4Network({ vlan: 100 });
    const attached = bench.attach(config);
    const [, , , gateway] = attached.result.interfaces ?? [];
    expect(gateway).toMatchObject({ name: "br1.100", mac: expect.stringMatching(/^[0-9a-f:]{17}$/) });
    const [shown] = ipJson<{ addr_info: { local: string }[] }>("-4", "address", "show", "dev", "br1.100");
    expect(shown?.addr_info).toMatchObject([{ local: "10.91.0.1" }]);
    expect(ipJson("-4", "address", "show", "dev", "br1")).toEqual([]);
    expect(attached.sandbox.ping("10.91.0.1")).toBe(true);
    bench.caller.succeed({ ...attached.who, command: "CHECK" });
    bench.detach(attached);
    const before = nodeSnapshot();
    bench.detach(bench.attach(config));
    expect(nodeSnapshot()).toEqual(before);
  });

  it("are compared by CHECK", () => {
    const attached = bench.attach(l2Network({ vlan: 100, vlanTrunk: [{ id: 20 }] }));
    output("bridge", "vlan", "del", "dev", portOf(attached), "vid", "20");
    output("bridge", "vlan", "add", "dev", portOf(attached), "vid", "100");
    const { msg } = bench.caller.fail({ ...attached.who, command: "CHECK" });
    expect(msg).toContain('VLAN 20 is missing, expected "tagged"');
    expect(msg).toContain('VLAN 100 is "tagged", expected "pvid untagged"');
  });
});
