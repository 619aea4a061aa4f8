import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Json } from "../support/call-plugin.ts";
import { callProcess, type Implementation, networkState, podlink, reference, steady } from "../support/implementation.ts";
import { freshNode, hideMachineState, leases, makeSandbox, output, type Sandbox } from "../support/node.ts";
import { lacking } from "../support/reference.ts";
import { ask, serve } from "../support/talk.ts";

// Type ptp while a node moves from the reference to podlink or back: what one attaches, the other checks and detaches, and packets pass
// between containers of both.

const missing = lacking(reference.path);

const config = {
  cniVersion: "1.0.0",
  name: "net1",
  type: "ptp",
  ipam: {
    type: "host-local",
    ranges: [[{ subnet: "10.1.2.0/24" }], [{ subnet: "fd01::/64" }]],
    routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
  },
};

const moves = [
  { before: reference, after: podlink },
  { before: podlink, after: reference },
];

const done = { exitCode: 0, output: undefined };

interface More {
  readonly netns: string;
  readonly containerId?: string;
  readonly prevResult?: Json | undefined;
  readonly keys?: Json;
}

function call(who: Implementation, command: string, { prevResult, keys, ...more }: More) {
  const stdin = { ...config, ...keys, ...(prevResult === undefined ? {} : { prevResult }) };
  return callProcess(who, { type: "ptp", command, config: stdin, programs: process.env.PATH, ...more });
}

describe.skipIf(missing !== "")(`ptp of podlink and the reference${missing}`, () => {
  beforeAll(hideMachineState);
  beforeEach(freshNode);

  it.each(moves)("what $before.name adds, $after.name checks and deletes", async ({ before, after }) => {
    const [first, sandbox] = [makeSandbox(), makeSandbox()];
    expect(call(before, "ADD", { netns: first.path, containerId: "first" })).toMatchObject({ exitCode: 0 });
    const node = steady(networkState());
    const netns = sandbox.path;
    const added = call(before, "ADD", { netns });
    expect(added).toMatchObject({ exitCode: 0, output: { ips: [{ address: "10.1.2.3/24" }, { address: "fd01::3/64" }] } });
    expect(call(after, "CHECK", { netns, prevResult: added.output })).toEqual(done);
    // beside one of the other implementation, to which packets pass
    const other = makeSandbox();
    expect(call(after, "ADD", { netns: other.path, containerId: "other" })).toMatchObject({ exitCode: 0 });
    // the node asks for no IPv6 neighbour over a link of the reference's before its own address there has proved to be no duplicate
    const reached = (from: Sandbox, address: string) =>
      expect.poll(() => from.ping(address, { timeoutMs: 500 }), { timeout: 10_000, message: address }).toBe(true);
    for (const address of ["10.1.2.2", "10.1.2.3", "fd01::2", "fd01::3"]) await reached(other, address);
    for (const address of ["10.1.2.4", "fd01::4"]) await reached(sandbox, address);
    expect(call(before, "DEL", { netns: other.path, containerId: "other" })).toEqual(done);

    expect(call(after, "DEL", { netns, prevResult: added.output })).toEqual(done);
    expect(sandbox.ipJson("link", "show")).toMatchObject([{ ifname: "lo" }]);
    expect(steady(networkState())).toEqual(node);
    expect(leases()).toEqual(["net1/10.1.2.2", "net1/fd01::2"]);
    expect(call(after, "DEL", { netns: "" })).toEqual(done);
  });

  it("has the reference's routes and addresses in the container", () => {
    const seen = [reference, podlink].map((who) => {
      freshNode();
      const sandbox = makeSandbox();
      expect(call(who, "ADD", { netns: sandbox.path })).toMatchObject({ exitCode: 0 });
      const { addresses, routes } = sandbox.run(networkState);
      return { addresses, routes };
    });
    const words = /,?"(noprefixroute|nodad|metric|pref|protocol)":("\w+"|\w+)/g; // how they came to be so
    const [theirs, ours] = seen.map((state) => JSON.stringify(steady(state)).replace(words, ""));
    expect(ours).toEqual(theirs);
  });

  it("DEL takes away what the reference masquerades with nf_tables, and nobody else's", () => {
    const keys = { ipMasq: true, ipMasqBackend: "nftables" };
    for (const containerId of ["stays", "goes"])
      expect(call(reference, "ADD", { netns: makeSandbox().path, containerId, keys })).toMatchObject({ exitCode: 0 });
    expect(output("nft", "list", "ruleset").match(/\bgoes\b/g)).toHaveLength(2);
    expect(call(podlink, "DEL", { netns: "", containerId: "goes", keys })).toEqual(done);
    const after = output("nft", "list", "ruleset");
    expect(after).not.toMatch(/\bgoes\b/);
    expect(after.match(/\bstays\b/g)).toHaveLength(2);
  });

  it("refuses the address that a container of the reference has", () => {
    const sandbox = makeSandbox();
    expect(call(reference, "ADD", { netns: sandbox.path })).toMatchObject({ exitCode: 0 });
    const keys = { name: "net2", ipam: { type: "static", addresses: [{ address: "10.1.2.2/24", gateway: "10.1.2.1" }] } };
    expect(call(podlink, "ADD", { netns: makeSandbox().path, containerId: "second", keys })).toMatchObject({
      exitCode: 1,
      output: { code: 11, msg: expect.stringContaining("a route for 10.1.2.2 leads over link") },
    });
    expect(sandbox.ping("10.1.2.1")).toBe(true);
  });

  const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }];
  const bandwidth = { ingressRate: 8_000_000, ingressBurst: 800_000, egressRate: 8_000_000, egressBurst: 800_000 };
  const behind: readonly (Json & { readonly type: string })[] = [
    { type: "portmap", backend: "nftables", runtimeConfig: { portMappings } },
    { type: "bandwidth", runtimeConfig: { bandwidth } },
    { type: "tuning", mtu: 1400 },
  ];

  it.each(moves)("of $before.name goes together with portmap, bandwidth and tuning of $after.name", async ({ before, after }) => {
    const sandbox = makeSandbox();
    const netns = sandbox.path;
    const chain = [{ who: before, plugin: config }, ...behind.map((plugin) => ({ who: after, plugin }))];
    let prevResult: Json | undefined;
    const run = (command: string, { who, plugin }: (typeof chain)[number]) => {
      const { cniVersion, name } = config;
      const stdin = { cniVersion, name, ...plugin, ...(prevResult === undefined ? {} : { prevResult }) };
      return callProcess(who, { type: plugin.type, command, config: stdin, programs: process.env.PATH, netns });
    };
    for (const link of chain) {
      const added = run("ADD", link);
      expect(added, link.plugin.type).toMatchObject({ exitCode: 0 });
      prevResult = added.output;
    }
    for (const link of chain) expect(run("CHECK", link), link.plugin.type).toEqual(done);
    await serve((work) => sandbox.run(work), { protocol: "tcp", address: "10.1.2.2", port: 80, name: "pod" });
    expect(ask((work) => work(), { protocol: "tcp", address: "10.1.2.1", port: 8080 })).toBe("pod 10.1.2.1");
    expect(output("tc", "qdisc", "show")).toMatch(/tbf .* rate 8Mbit/);
    expect(sandbox.ipJson("link", "show", "dev", "eth0")).toMatchObject([{ mtu: 1400 }]);
    for (const link of chain.toReversed()) expect(run("DEL", link), link.plugin.type).toEqual(done);
    expect(sandbox.ipJson("link", "show")).toMatchObject([{ ifname: "lo" }]);
    expect(output("ip", "-o", "link", "show").trim().split("\n")).toHaveLength(1);
    expect(leases()).toEqual([]);
  });
});
