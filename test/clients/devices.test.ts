import { describe, expect, it } from "vitest";
import type { Result } from "../../src/cni/result.ts";
import { Bench } from "../support/attach.ts";
import type { Json } from "../support/call-plugin.ts";
import { callProcess, reference } from "../support/implementation.ts";
import { needs, supports } from "../support/kernel-features.ts";
import { ipJson, leases, makeSandbox, output, type Sandbox } from "../support/node.ts";
import { lacking } from "../support/reference.ts";
import { returnToHost } from "../support/return-to-host.ts";

// host-device and tap on a node that moves from the reference to podlink, or back: what one attached the other checks and detaches.

const bench = new Bench();
const missing = lacking(reference.path);

const ipam = { type: "host-local", ranges: [[{ subnet: "10.1.2.0/24" }], [{ subnet: "fd01::/64" }]] };

interface Call {
  readonly type: string;
  readonly command: string;
  readonly config: Json;
  readonly netns: string;
}

/** @returns the result of an ADD */
function ours(call: Call): Json {
  const { stdout } = bench.caller.succeed(call);
  return stdout === "" ? {} : JSON.parse(stdout);
}

function theirs(call: Call): Json {
  // their tap starts `ip`
  const answer = callProcess(reference, { ...call, programs: process.env.PATH });
  expect(answer, JSON.stringify(answer)).toMatchObject({ exitCode: 0 });
  return answer.output ?? {};
}

interface Shown {
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
  readonly ifalias?: string;
}

const names = (links: readonly Shown[]): string[] => links.map(({ ifname }) => ifname).sort();
const inside = (sandbox: Sandbox): string[] => names(sandbox.ipJson<Shown>("link", "show"));

const ways = [
  { title: "the reference attaches, podlink checks and detaches", first: theirs, second: ours },
  { title: "podlink attaches, the reference checks and podlink detaches", first: ours, second: theirs },
];

describe.skipIf(missing !== "")(`host-device of podlink and the reference${missing}`, () => {
  const config = { cniVersion: "1.0.0", name: "net1", type: "host-device", device: "ens6", ipam };
  const type = "host-device";

  function arrange(): { sandbox: Sandbox; neighbour: Sandbox } {
    const [sandbox, neighbour] = [makeSandbox(), makeSandbox()];
    output("ip", "link", "add", "ens6", "mtu", "1400", "type", "veth", "peer", "name", "far0");
    output("ip", "link", "set", "far0", "netns", neighbour.path);
    neighbour.ip("link", "set", "far0", "up");
    neighbour.ip("address", "add", "10.1.2.200/24", "dev", "far0");
    return { sandbox, neighbour };
  }

  it.each(ways)("$title", ({ first, second }) => {
    const { sandbox } = arrange();
    const { path: netns } = sandbox;
    const prevResult = first({ type, command: "ADD", netns, config });
    expect(sandbox.ping("10.1.2.200")).toBe(true);
    second({ type, command: "CHECK", netns, config: { ...config, prevResult } });
    ours({ type, command: "DEL", netns, config: { ...config, prevResult } });
    expect(names(ipJson("link", "show"))).toEqual(["ens6", "lo"]);
    expect(ipJson<Shown>("link", "show", "dev", "ens6")[0]).toMatchObject({ mtu: 1400 });
    expect(ipJson<Shown>("link", "show", "dev", "ens6")[0]).not.toHaveProperty("ifalias");
    expect(inside(sandbox)).toEqual(["lo"]);
    expect(leases()).toEqual([]);
    ours({ type, command: "DEL", netns, config });
  });

  it("answers as the reference, key by key", () => {
    const results = [theirs, ours].map((call) => {
      const { sandbox } = arrange();
      output("ip", "link", "set", "ens6", "address", "52:54:00:00:00:06");
      const result = call({ type, command: "ADD", netns: sandbox.path, config }) as Result;
      ours({ type, command: "DEL", netns: sandbox.path, config });
      output("ip", "link", "del", "ens6");
      const { interfaces = [], ips = [], ...rest } = result;
      // the reference's host-local goes on where it was, as does ours
      const addresses = ips.map(({ address, ...ip }) => ({ ...ip, family: address.includes(":") ? 6 : 4 }));
      return { ...rest, addresses, interfaces: interfaces.map(({ name, mac }) => ({ name, mac })) };
    });
    expect(results[1]).toEqual(results[0]);
  });

  it("a device that the reference lent is not taken from a container that has another one", () => {
    const { sandbox } = arrange();
    theirs({ type, command: "ADD", netns: sandbox.path, config });
    ours({ type, command: "DEL", netns: sandbox.path, config: { ...config, device: "ens7" } });
    expect(inside(sandbox)).toEqual(["eth0", "lo"]);
    ours({ type, command: "DEL", netns: sandbox.path, config });
    expect(inside(sandbox)).toEqual(["lo"]);
  });

  it("a device that the reference lent, and the kernel took back, is found by its alias", () => {
    const { sandbox } = arrange();
    theirs({ type, command: "ADD", netns: sandbox.path, config });
    returnToHost(sandbox, { as: "dev7" });
    ours({ type, command: "DEL", netns: "", config });
    expect(names(ipJson("link", "show"))).toEqual(["ens6", "lo"]);
    expect(leases()).toEqual([]);
  });

  it("what podlink lent the reference cannot bring home: it loses nothing, and podlink's DEL does", () => {
    const { sandbox } = arrange();
    const { path: netns } = sandbox;
    ours({ type, command: "ADD", netns, config });
    const { exitCode } = callProcess(reference, { type, command: "DEL", netns, config });
    expect(exitCode).not.toBe(0);
    ours({ type, command: "DEL", netns, config });
    expect(names(ipJson("link", "show"))).toEqual(["ens6", "lo"]);
    expect(ipJson<Shown>("link", "show", "dev", "ens6")[0]).toMatchObject({ mtu: 1400 });
    expect(inside(sandbox)).toEqual(["lo"]);
    expect(leases()).toEqual([]);
  });
});

describe.skipIf(missing !== "" || !supports("tun"))(`tap of podlink and the reference${missing}${needs("tun")}`, () => {
  // IPv4 alone: their tap waits 5 s for an IPv6 address that nobody can say is free while nobody has opened the device
  const ranges = [[{ subnet: "10.1.2.0/24" }]];
  const config = { cniVersion: "1.0.0", name: "net1", type: "tap", multiQueue: true, ipam: { type: "host-local", ranges } };
  const type = "tap";

  it.each([
    { from: theirs, to: ours, title: "what the reference attaches, podlink checks and detaches" },
    { from: ours, to: theirs, title: "what podlink attaches, the reference checks and detaches" },
  ])("$title", ({ from, to }) => {
    for (const keys of [{}, { owner: 107, group: 107 }]) {
      const sandbox = makeSandbox();
      const { path: netns } = sandbox;
      const prevResult = from({ type, command: "ADD", netns, config: { ...config, ...keys } });
      expect(inside(sandbox)).toEqual(["eth0", "lo"]);
      to({ type, command: "CHECK", netns, config: { ...config, ...keys, prevResult } });
      to({ type, command: "DEL", netns, config: { ...config, ...keys, prevResult } });
      expect(inside(sandbox)).toEqual(["lo"]);
      expect(leases()).toEqual([]);
    }
  });

  it("answers as the reference, key by key, and makes the same device", () => {
    const keys = { mac: "c2:00:00:00:00:01", mtu: 1400 };
    const results = [theirs, ours].map((call) => {
      const sandbox = makeSandbox();
      const result = call({ type, command: "ADD", netns: sandbox.path, config: { ...config, ...keys } }) as Result;
      const [shown] = sandbox.ipJson<Json & Shown>("link", "show", "dev", "eth0");
      const { interfaces = [], ips = [], ...rest } = result;
      ours({ type, command: "DEL", netns: sandbox.path, config });
      return {
        ...rest,
        families: ips.map(({ address, interface: index, gateway }) => [address.includes(":"), index, gateway]),
        interfaces: interfaces.map(({ name, mac }) => ({ name, mac })),
        shown: { address: shown?.address, mtu: shown?.mtu, flags: shown?.flags, data: withoutHeader(shown?.linkinfo) },
      };
    });
    expect(results[1]).toEqual(results[0]);
  });
});

/** Of no account: it is for whoever opens the device to choose. */
function withoutHeader(linkinfo: unknown): unknown {
  return JSON.parse(JSON.stringify(linkinfo).replace(/"vnet_hdr":(true|false),?/, ""));
}
