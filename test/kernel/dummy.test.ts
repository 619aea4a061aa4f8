import { describe, expect, it } from "vitest";
import { Bench } from "../support/attach.ts";
import type { Json, PluginCall } from "../support/call-plugin.ts";
import { needs, supports } from "../support/kernel-features.ts";
import { leases, makeSandbox, type Sandbox } from "../support/node.ts";

// Type dummy: addresses that are the container's own, and lead nowhere.

const bench = new Bench();
const config = {
  cniVersion: "1.1.0",
  name: "net1",
  type: "dummy",
  ipam: {
    type: "host-local",
    ranges: [[{ subnet: "10.91.0.0/24" }], [{ subnet: "fd00:91::/64" }]],
    routes: [{ dst: "10.92.0.0/16" }],
  },
};

function linkIn(sandbox: Sandbox): Json | undefined {
  return sandbox.ipJson("link", "show").find(({ ifname }) => ifname === "eth0");
}

function callOf(command: string, sandbox: { readonly path: string }, more: Partial<PluginCall> = {}): PluginCall {
  return { type: "dummy", command, containerId: "cid-1", netns: sandbox.path, config, ...more };
}

describe.skipIf(!supports("dummy"))(`dummy${needs("dummy")}`, () => {
  it("gives the container addresses that answer it, and routes", () => {
    const { result, sandbox, who, v4, v6 } = bench.attach(config);
    sandbox.ip("link", "set", "lo", "up");
    const link = linkIn(sandbox);
    expect(link).toMatchObject({ ifalias: "podlink net1 cid-1 eth0", linkinfo: { info_kind: "dummy" } });
    expect(result.interfaces).toEqual([{ name: "eth0", mac: link?.address, mtu: 1500, sandbox: sandbox.path }]);
    for (const address of [v4, v6]) expect(sandbox.ping(address)).toBe(true);
    expect(sandbox.ip("route", "get", "10.92.1.1")).toContain("via 10.91.0.1 dev eth0");
    bench.caller.succeed({ ...who, command: "CHECK" });
    sandbox.ip("route", "del", "10.92.0.0/16");
    expect(bench.caller.fail({ ...who, command: "CHECK" }).msg).toContain("find route 10.92.0.0/16");
    bench.detach({ who });
    expect(linkIn(sandbox)).toBeUndefined();
    expect(leases()).toEqual([]);
    bench.detach({ who });
  });

  it("records the command that a person would type", () => {
    const sandbox = makeSandbox();
    const { steps } = bench.caller.succeed(callOf("ADD", sandbox));
    expect(steps[0]).toBe(`nsenter --net=${sandbox.path} ip link add name eth0 group 1886151012 type dummy`);
  });
});

describe.skipIf(supports("dummy"))("a kernel without CONFIG_DUMMY", () => {
  it("is named by ADD and STATUS, with the module", () => {
    const sandbox = makeSandbox();
    const words = 'this kernel has no links of kind dummy: it needs CONFIG_DUMMY, or, built as a module, "modprobe dummy"';
    expect(bench.caller.fail(callOf("ADD", sandbox)).msg).toContain(words);
    expect(bench.caller.fail(callOf("STATUS", sandbox))).toMatchObject({ code: 50, msg: expect.stringContaining(words) });
    bench.caller.succeed(callOf("DEL", sandbox));
  });
});
