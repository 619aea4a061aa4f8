import { writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Bench } from "../support/attach.ts";
import type { Json, PluginCall } from "../support/call-plugin.ts";
import { makeSandbox, type Sandbox } from "../support/node.ts";

// Sysctls of the container's namespace, which type podlink sets after everything it does there itself.

const bench = new Bench();

const podlink = (sysctl: Json): Json & { readonly type: string } => ({
  cniVersion: "1.1.0",
  name: "pods",
  type: "podlink",
  ipam: { type: "host-local", ranges: [[{ subnet: "10.244.1.0/24" }]] },
  sysctl,
});

const addTo = (sandbox: Sandbox, config: Json): PluginCall => ({
  type: "podlink",
  command: "ADD",
  containerId: "cid-1",
  netns: sandbox.path,
  config,
});

describe("sysctl", () => {
  it("is set in the container alone, after our own, and checked", () => {
    const config = podlink({ "net.core.somaxconn": "777", "net.ipv4.conf.IFNAME.accept_redirects": "1" });
    const { sandbox, who } = bench.attach(config);
    expect(sandbox.sysctl("net/core/somaxconn")).toBe("777");
    expect(sandbox.sysctl("net/ipv4/conf/eth0/accept_redirects")).toBe("1");
    expect(makeSandbox().sysctl("net/core/somaxconn")).not.toBe("777");
    const check = { ...who, command: "CHECK" };
    bench.caller.succeed(check);
    sandbox.run(() => writeFileSync("/proc/sys/net/core/somaxconn", "778"));
    expect(bench.caller.fail(check).msg).toContain('sysctl "net.core.somaxconn": its value is "778", expected "777"');
  });

  it("that the kernel refuses is the configuration's fault, and puts back those before it", () => {
    const sandbox = makeSandbox();
    const before = sandbox.sysctl("net/core/somaxconn");
    const config = podlink({ "net.core.somaxconn": "777", "net.ipv4.ip_default_ttl": "0" });
    const error = bench.caller.fail(addTo(sandbox, config));
    expect(error).toMatchObject({ code: 7, msg: expect.stringContaining('set sysctl "net.ipv4.ip_default_ttl" to "0"') });
    expect(sandbox.sysctl("net/core/somaxconn")).toBe(before);
  });

  it("outside net is refused by name", () => {
    const sandbox = makeSandbox();
    const config = podlink({ "kernel.shmmax": "1" });
    const error = bench.caller.fail(addTo(sandbox, config));
    expect(error).toMatchObject({ code: 7, msg: 'invalid net sysctl key: "kernel.shmmax"' });
  });
});
