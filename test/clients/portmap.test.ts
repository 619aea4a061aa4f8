import { beforeEach, describe, expect, it } from "vitest";
import { type Attached, Bench, v4Network } from "../support/attach.ts";
import type { Json } from "../support/call-plugin.ts";
import { callProcess, type Implementation } from "../support/implementation.ts";
import { output } from "../support/node.ts";
import { makeOutside, type Outside } from "../support/outside.ts";
import { lacking, pluginDirectory } from "../support/reference.ts";
import { ask, serve } from "../support/talk.ts";

// Chains of two implementations: host ports behind the other one's bridge.

const path = pluginDirectory("1.9.1");
const missing = lacking(path);
const reference: Implementation = { name: "the reference", path };
const programs = "/usr/sbin:/usr/bin:/sbin:/bin";

const bench = new Bench();
let outside: Outside;
beforeEach(() => {
  outside = makeOutside();
});

const network = () => v4Network({ isDefaultGateway: true, hairpinMode: true });

/** The same network made by the reference's bridge. */
function attachByReference(): Attached {
  const { sandbox } = bench.attach(v4Network({ name: "model" })); // its namespace is used
  const containerId = "cid-theirs";
  const own = { ...network(), name: "theirs", bridge: "br9", ipam: { type: "host-local", subnet: "10.99.0.0/24" } };
  sandbox.ip("link", "del", "eth0");
  const { exitCode, output: result } = callProcess(reference, {
    type: "bridge",
    command: "ADD",
    config: own,
    netns: sandbox.path,
    containerId,
    programs,
  });
  expect(exitCode).toBe(0);
  const who = { type: "bridge", containerId, netns: sandbox.path, config: own };
  return { sandbox, result: result as Attached["result"], who, v4: "10.99.0.2", v6: "" };
}

function portmapOf({ who, result }: Attached, more: Json = {}) {
  const { name } = who.config as Json;
  const runtimeConfig = { portMappings: [{ HostPort: 8080, ContainerPort: 80, Protocol: "tcp", HostIP: "" }] };
  const config = { cniVersion: "1.1.0", name, type: "portmap", runtimeConfig, prevResult: result, ...more };
  return { containerId: who.containerId ?? "", netns: who.netns ?? "", type: "portmap", config };
}

const addresses = () => [outside.node.v4, "127.0.0.1"];
const node = <T>(work: () => T): T => work();

async function expectReached({ sandbox }: Attached): Promise<void> {
  await serve(sandbox.run.bind(sandbox), { protocol: "tcp", address: "0.0.0.0", port: 80, name: "pod" });
  const endpoint = { protocol: "tcp", port: 8080 } as const;
  expect(ask(outside.sandbox.run.bind(outside.sandbox), { ...endpoint, address: outside.node.v4 })).toBe(`pod ${outside.v4}`);
  for (const address of addresses()) expect(ask(node, { ...endpoint, address })).toMatch(/^pod /);
  expect(ask(sandbox.run.bind(sandbox), { ...endpoint, address: outside.node.v4 })).toMatch(/^pod /);
}

describe.skipIf(missing !== "")(`type portmap in a chain of two implementations${missing}`, () => {
  it("podlink's works behind the reference's bridge", async () => {
    const attached = attachByReference();
    const call = portmapOf(attached);
    bench.caller.add(call);
    await expectReached(attached);
    bench.caller.succeed({ ...call, command: "CHECK" });

    const rival = portmapOf(bench.attach(network()));
    expect(bench.caller.fail({ ...rival, command: "ADD" })).toMatchObject({
      code: 11,
      msg: expect.stringContaining("cid-theirs"),
    });
    output("ip", "link", "del", attached.result.interfaces?.[1]?.name ?? "");
    expect(bench.caller.succeed({ ...rival, command: "ADD" }).stderr).toContain("taken over");
    bench.caller.succeed({ ...call, command: "DEL" });
    bench.caller.succeed({ ...rival, command: "CHECK" });
  });

  it("the reference's works behind podlink's bridge", async () => {
    const attached = bench.attach(network());
    const call = { ...portmapOf(attached, { backend: "nftables" }), programs };
    expect(callProcess(reference, { ...call, command: "ADD" })).toMatchObject({ exitCode: 0 });
    await expectReached(attached);
    expect(callProcess(reference, { ...call, command: "CHECK" }).exitCode).toBe(0);
    expect(callProcess(reference, { ...call, command: "DEL" }).exitCode).toBe(0);
    bench.detach(attached);
  });

  it("podlink's deletes what the reference's made in nf_tables", () => {
    const attached = bench.attach(network());
    const call = portmapOf(attached, { backend: "nftables" });
    callProcess(reference, { ...call, programs, command: "ADD" });
    expect(output("nft", "list", "ruleset")).toContain("8080");
    bench.caller.succeed({ ...call, command: "DEL" });
    expect(output("nft", "list", "ruleset")).not.toContain(call.containerId);
  });

  it("both return the result they were given", () => {
    const attached = bench.attach(network());
    const call = portmapOf(attached, { backend: "nftables" });
    const theirs = callProcess(reference, { ...call, programs, command: "ADD" });
    callProcess(reference, { ...call, programs, command: "DEL" });
    expect(bench.caller.add(call)).toEqual(theirs.output);
  });
});
