import { describe, expect, it } from "vitest";
import { type Attached, Bench } from "../support/attach.ts";
import type { Json } from "../support/call-plugin.ts";
import { makeSandbox, output } from "../support/node.ts";
import { makeOutside } from "../support/outside.ts";
import { answerAs, asked, inside, node, reach } from "../support/port-bench.ts";
import { ask, serve } from "../support/talk.ts";

// Several attachments of type podlink on one container: what one of them loses, the others keep.

const bench = new Bench();

const podlink = (number: number, more: Json = {}): Json & { readonly type: string } => ({
  cniVersion: "1.1.0",
  name: `pods${number}`,
  type: "podlink",
  bridge: `podlink${number}`,
  ingressPolicy: "same-bridge",
  ipam: { type: "host-local", ranges: [[{ subnet: `10.244.${number}.0/24` }], [{ subnet: `fd00:244:${number}::/64` }]] },
  ...more,
});

/** Of the node on its way to the container; answers come back over the interface that has the address. */
function pings({ v4, v6 }: Attached): boolean[] {
  return [v4, v6].map((address) => {
    try {
      return output("ping", "-c", "1", "-W", "2", address).includes("1 received");
    } catch {
      return false;
    }
  });
}

function expectGone({ v4, v6, who }: Attached): void {
  const ruleset = output("nft", "list", "ruleset");
  for (const address of [v4, v6]) expect(ruleset).not.toMatch(new RegExp(`\\b${address}\\b(?!:)`));
  expect(ruleset).not.toContain(`${who.containerId} ${who.ifname ?? "eth0"}`);
}

describe("two networks of one container", () => {
  it.each([
    ["the first", 0],
    ["the second", 1],
  ])("work side by side, and removing %s leaves the other working", async (_which, removed) => {
    const outside = makeOutside();
    const sandbox = makeSandbox();
    const first = bench.attach(podlink(1, asked([{ hostPort: 8081 }])), { containerId: "cid-1", sandbox });
    const second = bench.attach(podlink(2, { isDefaultGateway: false, ...asked([{ hostPort: 8082 }]) }), {
      containerId: "cid-1",
      sandbox,
      ifname: "eth1",
    });
    await answerAs("pod", sandbox);
    for (const each of [first, second]) expect(pings(each)).toEqual([true, true]);
    for (const port of [8081, 8082]) expect(reach(node, "127.0.0.1", { port })).toMatch(/^pod /);

    const [gone, kept] = removed === 0 ? [first, second] : [second, first];
    bench.detach(gone);
    expectGone(gone);
    expect(pings(kept)).toEqual([true, true]);
    bench.caller.succeed({ ...kept.who, command: "CHECK" });
    const [gonePort, keptPort] = removed === 0 ? [8081, 8082] : [8082, 8081];
    expect(reach(node, "127.0.0.1", { port: keptPort })).toMatch(/^pod /);
    expect(reach(node, "127.0.0.1", { port: gonePort, silent: true })).toBeUndefined();
    if (removed === 0) return;
    // It has the way to the outside, and masqueraded it is
    expect(reach(outside.sandbox, outside.node.v4, { port: keptPort })).toBe(`pod ${outside.v4}`);
    await serve(inside(outside.sandbox), { protocol: "tcp", address: outside.v4, port: 81, name: "outside" });
    expect(ask(inside(sandbox), { protocol: "tcp", address: outside.v4, port: 81 })).toBe(`outside ${outside.node.v4}`);
  });
});

describe("two interfaces in one network", () => {
  it.each(["routed", "bridged"])("removing one leaves the other working: %s", async (mode) => {
    const config = (port: number, more: Json = {}) => podlink(1, { mode, ...asked([{ hostPort: port }]), ...more });
    const sandbox = makeSandbox();
    const first = bench.attach(config(8081), { containerId: "cid-1", sandbox });
    const second = bench.attach(config(8082, { isDefaultGateway: false }), { containerId: "cid-1", sandbox, ifname: "eth1" });
    await answerAs("pod", sandbox);
    expect(pings(first)).toEqual([true, true]);

    bench.detach(second);
    expectGone(second);
    bench.caller.succeed({ ...first.who, command: "CHECK" });
    expect(pings(first)).toEqual([true, true]);
    expect(reach(node, "127.0.0.1", { port: 8081 })).toMatch(/^pod /);
    expect(reach(node, "127.0.0.1", { port: 8082, silent: true })).toBeUndefined();

    const third = bench.attach(config(8083, { isDefaultGateway: false }), { containerId: "cid-1", sandbox, ifname: "eth1" });
    bench.detach(first);
    expectGone(first);
    bench.caller.succeed({ ...third.who, command: "CHECK" });
    expect(pings(third)).toEqual([true, true]);
    expect(reach(node, "127.0.0.1", { port: 8083 })).toMatch(/^pod /);
  });
});

describe("nft flush ruleset", () => {
  it("between ADD and DEL breaks neither the DEL nor the next ADD, and CHECK names all that is missing", async () => {
    const outside = makeOutside();
    const all = (port: number) => podlink(1, { ingressPolicy: "isolated", hostForward: true, ...asked([{ hostPort: port }]) });
    const [one, two] = [bench.attach(all(8081)), bench.attach(all(8082))];
    output("nft", "flush", "ruleset");
    const { msg } = bench.caller.fail({ ...one.who, command: "CHECK" });
    for (const part of [
      'chain "inet podlink masquerading"',
      'chain "bridge podlink spoof_check"',
      `${one.v4} in map "inet podlink masqueraded4"`,
      `${one.v6} in map "inet podlink masqueraded6"`,
      'chain "inet podlink hostport_prerouting"',
      "8081/tcp",
      'chain "inet podlink ingress_policy"',
      'chain "bridge podlink ingress_policy"',
      'the wish to forward for "podlink1"',
    ])
      expect(msg).toContain(part);

    bench.detach(one);
    const three = bench.attach(all(8083));
    await answerAs("three", three.sandbox);
    expect(reach(outside.sandbox, outside.node.v4, { port: 8083 })).toBe(`three ${outside.v4}`);
    expect(three.sandbox.ping(outside.v4)).toBe(true);
    bench.caller.succeed({ ...three.who, command: "CHECK" });
    bench.detach(two);
    bench.detach(three);
    expect(output("nft", "list", "ruleset")).not.toContain("elements");
  });
});
