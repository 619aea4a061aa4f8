import { writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { hostLinkName } from "../../src/link/names.ts";
import { Bench, ptpNetwork } from "../support/attach.ts";
import { DyingSteps, type PluginCall } from "../support/call-plugin.ts";
import { leases, makeSandbox, nameSandbox, nodeSnapshot, output, Sandbox, unnameSandbox } from "../support/node.ts";

// What an ADD of type ptp that died left behind, a DEL that comes late or twice, and what GC finds.

const bench = new Bench();

const config = ptpNetwork({ ipMasq: true });
const hostName = hostLinkName({ network: "net1", containerId: "cid-1", ifname: "eth0" });

function callOf(command: string, sandbox: Pick<Sandbox, "path">, more: Partial<PluginCall> = {}): PluginCall {
  return { type: "ptp", command, containerId: "cid-1", netns: sandbox.path, config, ...more };
}

/** Attaches and detaches once, so that what belongs to the network is there. */
function warmUp(): unknown {
  bench.detach(bench.attach(config, { containerId: "warm" }));
  return nodeSnapshot();
}

function changesOf(command: "ADD" | "DEL"): number {
  const sandbox = makeSandbox();
  const added = bench.caller.succeed(callOf("ADD", sandbox, { containerId: "count" }));
  const deleted = bench.caller.succeed(callOf("DEL", sandbox, { containerId: "count" }));
  return (command === "ADD" ? added : deleted).steps.length;
}

describe("an ADD that was killed", () => {
  const ways: readonly [title: string, recover: (sandbox: Sandbox) => void][] = [
    [
      "repeated",
      (sandbox) => {
        bench.caller.succeed(callOf("ADD", sandbox));
        expect(leases()).toHaveLength(2);
        expect(sandbox.ping("10.91.0.1")).toBe(true);
        bench.caller.succeed(callOf("DEL", sandbox));
      },
    ],
    [
      "repeated in another namespace",
      () => {
        using other = new Sandbox();
        bench.caller.succeed(callOf("ADD", other));
        bench.caller.succeed(callOf("DEL", other));
      },
    ],
    ["deleted", (sandbox) => void bench.caller.succeed(callOf("DEL", sandbox))],
    [
      "collected as garbage",
      (sandbox) => void bench.caller.succeed(callOf("GC", sandbox, { config: { ...config, "cni.dev/valid-attachments": [] } })),
    ],
  ];

  it.each(ways)("after any of its changes can be %s", (_title, recover) => {
    const clean = warmUp();
    const changes = changesOf("ADD");
    expect(changes).toBeGreaterThan(10);
    for (let after = 0; after < changes; after++) {
      using sandbox = new Sandbox();
      bench.caller.fail(callOf("ADD", sandbox, { steps: new DyingSteps(after) }));
      recover(sandbox);
      expect(nodeSnapshot(), `killed after ${after} changes`).toEqual(clean);
      expect(sandbox.ipJson("link", "show"), `killed after ${after} changes`).toHaveLength(1);
    }
  });
});

describe("a DEL that was killed", () => {
  it("can be repeated, and never gives an address back while the interface that has it is there", () => {
    const clean = warmUp();
    const changes = changesOf("DEL");
    expect(changes).toBeGreaterThan(2);
    for (let after = 0; after < changes; after++) {
      using sandbox = new Sandbox();
      bench.caller.succeed(callOf("ADD", sandbox));
      bench.caller.call(callOf("DEL", sandbox, { steps: new DyingSteps(after) }));
      if (sandbox.ipJson("link", "show").length > 1) expect(leases()).toHaveLength(2);
      bench.caller.succeed(callOf("DEL", sandbox));
      expect(nodeSnapshot(), `killed after ${after} changes`).toEqual(clean);
    }
  });
});

describe("DEL", () => {
  it.each<[title: string, spoil: (attached: { sandbox: Sandbox }) => void]>([
    ["the namespace is gone", ({ sandbox }) => sandbox[Symbol.dispose]()],
    ["the link is gone", () => void output("ip", "link", "del", hostName)],
    ["the ruleset is gone", () => void output("nft", "flush", "ruleset")],
    ["the node's routes are gone", () => void output("ip", "route", "flush", "dev", hostName)],
  ])("succeeds, twice, when %s, and the lease is free", (_title, spoil) => {
    const attached = bench.attach(config, { containerId: "cid-1" });
    spoil(attached);
    bench.detach(attached);
    expect(leases()).toEqual([]);
    bench.detach(attached);
    expect(output("ip", "-o", "link", "show")).not.toContain(hostName);
    expect(output("nft", "list", "ruleset")).not.toContain("cid-1");
  });

  it("with another container's namespace takes its own attachment away and not that one's", () => {
    const [mine, other] = [bench.attach(config, { containerId: "cid-1" }), bench.attach(config, { containerId: "cid-2" })];
    bench.caller.succeed(callOf("DEL", other.sandbox));
    bench.caller.succeed(callOf("DEL", other.sandbox));
    bench.caller.succeed({ ...other.who, command: "CHECK" });
    expect(mine.sandbox.ipJson("link", "show")).toHaveLength(1);
    expect(leases()).toHaveLength(2);
  });

  it("takes away a pair that another implementation made, with a name of its own", () => {
    const clean = warmUp();
    const sandbox = makeSandbox();
    const named = nameSandbox(sandbox, "theirs");
    output("ip", "link", "add", "vethdeadbeef", "type", "veth", "peer", "name", "eth0", "netns", "theirs");
    unnameSandbox(named);
    writeFileSync("/var/lib/cni/networks/net1/10.91.0.60", "cid-1\r\neth0");
    bench.caller.succeed(callOf("DEL", sandbox));
    expect(sandbox.ipJson("link", "show")).toHaveLength(1);
    expect(nodeSnapshot()).toEqual(clean);
  });
});

describe("GC", () => {
  it("removes the stale links, elements and leases of its network, and nothing of the live ones and of other networks", () => {
    const live = bench.attach(config, { containerId: "live" });
    const ipam = { type: "host-local", ranges: [[{ subnet: "10.92.0.0/24" }]] };
    const neighbour = bench.attach(ptpNetwork({ name: "net2", ipMasq: true, ipam }), { containerId: "other" });
    const before = nodeSnapshot();
    for (const containerId of ["stale-1", "stale-2"]) bench.attach(config, { containerId });
    bench.attach(config, { containerId: "live", ifname: "eth1", sandbox: live.sandbox });
    const valid = [{ containerID: "live", ifname: "eth0" }];
    bench.caller.succeed({ type: "ptp", command: "GC", config: { ...config, "cni.dev/valid-attachments": valid } });
    expect(nodeSnapshot()).toEqual(before);
    for (const { who } of [live, neighbour]) bench.caller.succeed({ ...who, command: "CHECK" });
  });
});

describe("ADD", () => {
  it("for a second time fails, and the first keeps its interface and its lease", () => {
    const first = bench.attach(config, { containerId: "cid-1" });
    const before = [nodeSnapshot(), first.sandbox.snapshot()];
    expect(bench.caller.fail(callOf("ADD", first.sandbox)).msg).toMatch(/"eth0" already exists.*earlier ADD: DEL it first/);
    expect([nodeSnapshot(), first.sandbox.snapshot()]).toEqual(before);
  });
});

describe("STATUS", () => {
  it("asks the kernel, and changes nothing", () => {
    expect(bench.caller.succeed({ type: "ptp", command: "STATUS", config }).steps).toEqual([]);
    expect(output("nft", "list", "ruleset")).toBe("");
  });

  it("says with code 50 that ipMasq would fail, and why", () => {
    output("nft", "add table inet podlink; add set inet podlink masqueraded4 { type inet_service; }");
    const { code, msg } = bench.caller.fail({ type: "ptp", command: "STATUS", config });
    expect({ code, msg }).toEqual({ code: 50, msg: expect.stringContaining('Cannot do what "ipMasq" asks for: nft add map') });
    bench.caller.succeed({ type: "ptp", command: "STATUS", config: ptpNetwork() });
  });
});
