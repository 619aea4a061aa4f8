import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ChainBench, type ChainNetwork, everywhere, hostLocal } from "../support/chain-bench.ts";
import { output } from "../support/node.ts";
import { makeOutside } from "../support/outside.ts";
import { answerAs, node, reach } from "../support/port-bench.ts";

// Chains that people run: each plugin does its part, none disturbs another's, and nothing is left.

const bench = new ChainBench();

describe("ptp + portmap + bandwidth", () => {
  const network: ChainNetwork = {
    name: "routed",
    plugins: [
      { type: "ptp", ipMasq: true, ipam: { ...hostLocal("10.91.0.0/24", "fd00:91::/64"), routes: everywhere } },
      { type: "portmap", capabilities: { portMappings: true } },
      { type: "bandwidth", capabilities: { bandwidth: true } },
    ],
  };
  const capabilities = {
    portMappings: [
      { hostPort: 8080, containerPort: 80, protocol: "tcp" },
      { hostPort: 8080, containerPort: 80, protocol: "udp" },
    ],
    bandwidth: { ingressRate: 8_000_000, ingressBurst: 800_000, egressRate: 16_000_000, egressBurst: 1_600_000 },
  };
  const attach = () => bench.join(network, { capabilities });

  it("maps ports for the outside, the node, neighbours and the container itself", async () => {
    const outside = makeOutside();
    const mapped = attach();
    const neighbour = bench.join(network);
    for (const joined of [mapped, neighbour]) bench.check(joined);
    await answerAs("pod", mapped.sandbox);
    expect(reach(outside.sandbox, outside.node.v4)).toBe(`pod ${outside.v4}`);
    expect(reach(outside.sandbox, outside.node.v6)).toBe(`pod ${outside.v6}`);
    expect(reach(outside.sandbox, outside.node.v4, { protocol: "udp" })).toBe(`pod ${outside.v4}`);
    expect(reach(node, "127.0.0.1")).toBe("pod 10.91.0.1");
    expect(reach(node, outside.node.v4)).toBe(`pod ${outside.node.v4}`);
    expect(reach(neighbour.sandbox, outside.node.v4)).toMatch(/^pod /);
    expect(reach(neighbour.sandbox, "10.91.0.1")).toMatch(/^pod /);
    expect(reach(mapped.sandbox, outside.node.v4)).toMatch(/^pod /);
    expect(reach(mapped.sandbox, outside.node.v6)).toMatch(/^pod /);
    await answerAs("outside", outside.sandbox);
    expect(reach(mapped.sandbox, outside.v4, { port: 80 })).toBe(`outside ${outside.node.v4}`);
    bench.leave(mapped);
    expect(reach(node, "127.0.0.1")).toBeUndefined();
    expect(neighbour.sandbox.ping(outside.v4)).toBe(true);
    bench.check(neighbour);
  });

  it("limits what the container receives and sends", () => {
    const tooMuch = { ingress: 1400, egress: 1000 };
    const limits = { ingressRate: 8_000_000, ingressBurst: 8 * 1300, egressRate: 8_000_000, egressBurst: 8 * 900 };
    const joined = bench.join(network, { capabilities: { bandwidth: limits } });
    bench.check(joined);
    const [port, , shaper] = joined.result.interfaces ?? [];
    // A packet that does not fit into the bucket is dropped, however long it waits
    const dropped = (name = "") => Number(/dropped (\d+)/.exec(output("tc", "-s", "qdisc", "show", "dev", name, "root"))?.[1]);
    const ping = (size: number) => spawnSync("ping", ["-c", "1", "-W", "0.3", "-s", String(size), joined.v4]).status === 0;
    expect(ping(500)).toBe(true);
    expect([dropped(port?.name), dropped(shaper?.name)]).toEqual([0, 0]);
    expect(ping(tooMuch.ingress)).toBe(false);
    expect([dropped(port?.name), dropped(shaper?.name)]).toEqual([1, 0]);
    expect(ping(tooMuch.egress)).toBe(false);
    expect([dropped(port?.name), dropped(shaper?.name)]).toEqual([1, 1]);
  });

  it("leaves nothing, however the container goes away", () => bench.expectNoTrace(network, attach));
});

describe("two networks on one container with sbr", () => {
  const first: ChainNetwork = {
    name: "first",
    plugins: [{ type: "ptp", ipam: { ...hostLocal("10.91.0.0/24", "fd00:91::/64"), routes: everywhere } }],
  };
  const plain: ChainNetwork = {
    name: "second",
    plugins: [{ type: "bridge", bridge: "br2", isGateway: true, ipam: hostLocal("10.92.0.0/24", "fd00:92::/64") }],
  };
  const second: ChainNetwork = { ...plain, plugins: [...plain.plugins, { type: "sbr" }] };

  /** Attaches both, on a node that lets nothing pass that comes from where it does not lead. */
  function attachBoth(other: ChainNetwork) {
    const outside = makeOutside();
    for (const each of ["all", "default"]) writeFileSync(`/proc/sys/net/ipv4/conf/${each}/rp_filter`, "1");
    const one = bench.join(first, { containerId: "both" });
    const two = bench.join(other, { containerId: "both", ifname: "eth1", sandbox: one.sandbox });
    return { outside, one, two };
  }

  it("without it sends answers of the second over the first", async () => {
    const { outside, one, two } = attachBoth(plain);
    await answerAs("pod", one.sandbox);
    expect(reach(outside.sandbox, one.v4, { port: 80 })).toBe(`pod ${outside.v4}`);
    expect(reach(outside.sandbox, two.v4, { port: 80, silent: true })).toBeUndefined();
  });

  it("answers in both, from the outside and from neighbours", async () => {
    const { outside, one, two } = attachBoth(second);
    for (const joined of [one, two]) bench.check(joined);
    await answerAs("pod", one.sandbox);
    for (const address of [one.v4, one.v6, two.v4, two.v6])
      expect(reach(outside.sandbox, address, { port: 80 })).toBe(`pod ${address.includes(":") ? outside.v6 : outside.v4}`);
    const routed = bench.join(first).sandbox;
    for (const address of [one.v4, one.v6, two.v4, two.v6]) expect(routed.ping(address), address).toBe(true);
    const bridged = bench.join(plain).sandbox; // which knows no way to the first
    for (const address of [two.v4, two.v6]) expect(bridged.ping(address), address).toBe(true);
    for (const [joined, dev] of [
      [one, "eth0"],
      [two, "eth1"],
    ] as const) {
      for (const [target, source] of [
        [outside.v4, joined.v4],
        [outside.v6, joined.v6],
      ] as const)
        expect(one.sandbox.ipJson("route", "get", target, "from", source)).toMatchObject([{ dev }]);
    }
  });

  it("goes on in one when the other is taken away", async () => {
    const { outside, one, two } = attachBoth(second);
    await answerAs("pod", one.sandbox);
    bench.leave(two);
    bench.check(one);
    expect(reach(outside.sandbox, one.v4, { port: 80 })).toBe(`pod ${outside.v4}`);
    expect(one.sandbox.ip("rule", "show")).not.toContain(two.v4);
    const again = bench.join(second, { containerId: "both", ifname: "eth1", sandbox: one.sandbox });
    bench.leave(one);
    bench.check(again);
    expect(reach(outside.sandbox, again.v4, { port: 80 })).toBe(`pod ${outside.v4}`);
  });

  it("leaves nothing, however the container goes away", () => bench.expectNoTrace(second, () => bench.join(second)));
});
