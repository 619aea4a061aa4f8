import { mkdirSync, writeFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { hostLinkName, linkAlias } from "../../src/link/names.ts";
import { Bench, bridgeNetwork, v4Network } from "../support/attach.ts";
import { DyingSteps, type PluginCall } from "../support/call-plugin.ts";
import { ipJson, leases, makeSandbox, nameSandbox, nodeSnapshot, output, Sandbox, unnameSandbox } from "../support/node.ts";

// What an ADD that died left behind, a DEL that comes late or twice, and what GC finds.

const bench = new Bench();

const config = bridgeNetwork({ isDefaultGateway: true, ipMasq: true, macspoofchk: true });
const who = { network: "net1", containerId: "cid-1", ifname: "eth0" };
const hostName = hostLinkName(who);

function callOf(command: string, sandbox: Sandbox, more: Partial<PluginCall> = {}): PluginCall {
  return { type: "bridge", command, containerId: "cid-1", netns: sandbox.path, config, ...more };
}

/** Attaches and detaches once, so that what belongs to the network is there. */
function warmUp(): unknown {
  bench.detach(bench.attach(config, { containerId: "warm" }));
  return nodeSnapshot();
}

/** How many changes a call makes to a node that knows the network. */
function changesOf(command: "ADD" | "DEL"): number {
  const sandbox = makeSandbox();
  const added = bench.caller.succeed(callOf("ADD", sandbox, { containerId: "count" }));
  const deleted = bench.caller.succeed(callOf("DEL", sandbox, { containerId: "count" }));
  return (command === "ADD" ? added : deleted).steps.length;
}

describe("an ADD that was killed", () => {
  /** Kills it after each of its changes in turn. */
  function killEach(inspect: (sandbox: Sandbox, killed: { after: number; clean: unknown }) => void): void {
    const clean = warmUp();
    const changes = changesOf("ADD");
    expect(changes).toBeGreaterThan(10);
    for (let after = 0; after < changes; after++) {
      using sandbox = new Sandbox();
      bench.caller.fail(callOf("ADD", sandbox, { steps: new DyingSteps(after) }));
      inspect(sandbox, { after, clean });
    }
  }

  it("after any of its changes can be repeated, and nothing of the first one is left", () => {
    killEach((sandbox, { after, clean }) => {
      bench.caller.succeed(callOf("ADD", sandbox));
      expect(leases(), `killed after ${after} changes`).toHaveLength(2);
      expect(sandbox.ping("10.91.0.1")).toBe(true);
      bench.caller.succeed(callOf("DEL", sandbox));
      output("ip", "neighbour", "flush", "all"); // the node's memory of who has sent it packets
      expect(nodeSnapshot(), `killed after ${after} changes`).toEqual(clean);
      expect(sandbox.ipJson("link", "show")).toHaveLength(1);
    });
  });

  it("after any of its changes can be deleted", () => {
    killEach((sandbox, { after, clean }) => {
      bench.caller.succeed(callOf("DEL", sandbox));
      expect(nodeSnapshot(), `killed after ${after} changes`).toEqual(clean);
    });
  });

  it("after any of its changes can be collected as garbage", () => {
    killEach((sandbox, { after, clean }) => {
      bench.caller.succeed(callOf("GC", sandbox, { config: { ...config, "cni.dev/valid-attachments": [] } }));
      expect(nodeSnapshot(), `killed after ${after} changes`).toEqual(clean);
    });
  });

  it("can be repeated in another namespace", () => {
    killEach((_sandbox, { clean }) => {
      using other = new Sandbox();
      bench.caller.succeed(callOf("ADD", other));
      expect(leases()).toHaveLength(2);
      bench.caller.succeed(callOf("DEL", other));
      expect(nodeSnapshot()).toEqual(clean);
    });
  });
});

describe("a DEL that was killed", () => {
  it("after any of its changes can be repeated", () => {
    const clean = warmUp();
    const changes = changesOf("DEL");
    expect(changes).toBeGreaterThan(2);
    for (let after = 0; after < changes; after++) {
      using sandbox = new Sandbox();
      bench.caller.succeed(callOf("ADD", sandbox));
      bench.caller.fail(callOf("DEL", sandbox, { steps: new DyingSteps(after) }));
      bench.caller.succeed(callOf("DEL", sandbox));
      expect(nodeSnapshot(), `killed after ${after} changes`).toEqual(clean);
    }
  });

  it("never gives an address back while the interface that has it is there", () => {
    warmUp();
    for (let after = 0; after < changesOf("DEL"); after++) {
      using sandbox = new Sandbox();
      bench.caller.succeed(callOf("ADD", sandbox));
      bench.caller.fail(callOf("DEL", sandbox, { steps: new DyingSteps(after) }));
      const hasLink = sandbox.ipJson("link", "show").length > 1;
      if (hasLink) expect(leases()).toHaveLength(2);
      bench.caller.succeed(callOf("DEL", sandbox));
    }
  });
});

describe("ADD", () => {
  it("for a second time fails, and the first keeps its interface and its lease", () => {
    const first = bench.attach(config, { containerId: "cid-1" });
    const before = [nodeSnapshot(), first.sandbox.snapshot()];
    const { code, msg } = bench.caller.fail(callOf("ADD", first.sandbox));
    expect({ code, msg }).toEqual({ code: 999, msg: expect.stringMatching(/"eth0" already exists.*earlier ADD: DEL it first/) });
    expect([nodeSnapshot(), first.sandbox.snapshot()]).toEqual(before);
    expect(first.sandbox.ping("10.91.0.1")).toBe(true);
    bench.caller.succeed({ ...first.who, command: "CHECK" });
  });

  it("fails where an interface of that name is somebody else's, and leaves it alone", () => {
    const clean = warmUp();
    const sandbox = makeSandbox();
    sandbox.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0p");
    sandbox.ip("address", "add", "10.5.5.5/24", "dev", "eth0");
    const before = sandbox.snapshot();
    expect(bench.caller.fail(callOf("ADD", sandbox)).msg).toContain('"eth0" already exists in the container');
    expect(sandbox.snapshot()).toEqual(before);
    expect(nodeSnapshot()).toEqual(clean);
  });

  it("takes the place of a lease that is there without an interface", () => {
    warmUp();
    mkdirSync("/var/lib/cni/networks/net1", { recursive: true });
    writeFileSync("/var/lib/cni/networks/net1/10.91.0.40", "cid-1\r\neth0");
    writeFileSync("/var/lib/cni/networks/net1/10.91.0.41", "cid-2\r\neth0");
    bench.attach(v4Network(), { containerId: "cid-1" });
    expect(leases()).toContain("net1/10.91.0.41");
    expect(leases()).not.toContain("net1/10.91.0.40");
    expect(leases()).toHaveLength(2);
  });

  it("gives a container another interface while the first stays", () => {
    const first = bench.attach(config, { containerId: "cid-1" });
    const second = bench.attach(config, { containerId: "cid-1", ifname: "eth1", sandbox: first.sandbox });
    bench.caller.fail({ ...callOf("ADD", first.sandbox), ifname: "eth1" });
    bench.detach(second);
    bench.caller.succeed({ ...first.who, command: "CHECK" });
  });
});

describe("DEL", () => {
  it("with another container's namespace takes its own attachment away and not that one's", () => {
    const [mine, other] = [bench.attach(config, { containerId: "cid-1" }), bench.attach(config, { containerId: "cid-2" })];
    bench.caller.succeed(callOf("DEL", other.sandbox));
    bench.caller.succeed(callOf("DEL", other.sandbox)); // by now there is no link of its own to be found by name
    bench.caller.succeed({ ...other.who, command: "CHECK" });
    expect(other.sandbox.ping("10.91.0.1")).toBe(true);
    expect(mine.sandbox.ipJson("link", "show")).toHaveLength(1);
    expect(leases()).toHaveLength(2);
  });

  it("takes away a pair that another implementation made, with a name of its own", () => {
    const clean = warmUp();
    const sandbox = makeSandbox();
    const named = nameSandbox(sandbox, "theirs");
    output("ip", "link", "add", "vethdeadbeef", "type", "veth", "peer", "name", "eth0", "netns", "theirs");
    unnameSandbox(named);
    output("ip", "link", "set", "vethdeadbeef", "master", "br1", "up");
    writeFileSync("/var/lib/cni/networks/net1/10.91.0.60", "cid-1\r\neth0");
    bench.caller.succeed(callOf("DEL", sandbox));
    expect(sandbox.ipJson("link", "show")).toHaveLength(1);
    expect(nodeSnapshot()).toEqual(clean);
  });

  it("leaves alone what is no veth pair", () => {
    const sandbox = makeSandbox();
    sandbox.ip("link", "add", "eth0", "type", "bridge");
    bench.caller.succeed(callOf("DEL", sandbox));
    expect(sandbox.ipJson("link", "show", "dev", "eth0")).toHaveLength(1);
  });

  it("succeeds without the bridge", () => {
    const { who: call, sandbox } = bench.attach(config, { containerId: "cid-1" });
    output("ip", "link", "del", "br1");
    bench.detach({ who: call });
    expect(leases()).toEqual([]);
    expect(sandbox.ipJson("link", "show")).toHaveLength(1);
  });

  it("and ADD work again with a bridge whose address was taken away", () => {
    bench.detach(bench.attach(config));
    output("ip", "address", "flush", "dev", "br1");
    const { sandbox, v4, v6 } = bench.attach(config);
    expect(sandbox.ping("10.91.0.1")).toBe(true);
    expect([v4, v6]).not.toContain("");
  });
});

describe("GC", () => {
  const gc = (valid: string[], more = {}) => {
    const list = valid.map((containerID) => ({ containerID, ifname: "eth0" }));
    return bench.caller.succeed({
      type: "bridge",
      command: "GC",
      config: { ...config, ...more, "cni.dev/valid-attachments": list },
    });
  };

  it("removes the stale links and leases of its network, and nothing of the live ones and of other networks", () => {
    const live = bench.attach(config, { containerId: "live" });
    const neighbour = bench.attach(
      bridgeNetwork({ name: "net2", bridge: "br2", ipam: { type: "host-local", ranges: [[{ subnet: "10.92.0.0/24" }]] } }),
    );
    const before = nodeSnapshot();
    const stale = [1, 2].map((index) => bench.attach(config, { containerId: `stale-${index}` }));
    writeFileSync("/var/lib/cni/networks/net1/10.91.0.99", "without-link\r\neth0");
    gc(["live"]);
    expect(nodeSnapshot()).toEqual(before);
    for (const { sandbox } of stale) expect(sandbox.ipJson("link", "show")).toHaveLength(1);
    for (const one of [live, neighbour]) {
      bench.caller.succeed({ ...one.who, command: "CHECK" });
    }
    expect(live.sandbox.ping("10.91.0.1")).toBe(true);
  });

  it("tells the interfaces of one container apart", () => {
    const first = bench.attach(config, { containerId: "live" });
    bench.attach(config, { containerId: "live", ifname: "eth1", sandbox: first.sandbox });
    gc(["live"]);
    expect(first.sandbox.ipJson<{ ifname: string }>("link", "show").map(({ ifname }) => ifname)).toEqual(["lo", "eth0"]);
    expect(leases()).toHaveLength(2);
  });

  it("leaves alone a link of our form whose alias names another network", () => {
    output("ip", "link", "add", hostName, "type", "veth", "peer", "name", "other");
    output("ip", "link", "set", hostName, "alias", linkAlias({ ...who, network: "same-hash" }, "attached"));
    gc([]);
    expect(ipJson("link", "show", "dev", hostName)).toHaveLength(1);
    output("ip", "link", "set", hostName, "alias", linkAlias(who, "attached"));
    gc([]);
    expect(ipJson<{ ifname: string }>("link", "show").map(({ ifname }) => ifname)).toEqual(["lo"]);
  });

  it("reports a link that cannot be removed", () => {
    bench.attach(config, { containerId: "stale" });
    const steps = new (class extends DyingSteps {
      override run<T>(command: string, change: () => T): T {
        if (command.startsWith("ip link del")) throw new Error("no permission today");
        return super.run(command, change);
      }
    })(99);
    const call = { type: "bridge", command: "GC", config: { ...config, "cni.dev/valid-attachments": [] }, steps };
    expect(bench.caller.fail(call).msg).toContain("no permission today");
  });
});

describe("the alias", () => {
  it("says whose link it is, and is whole only at the end of the ADD", () => {
    const sandbox = makeSandbox();
    const { steps } = bench.caller.succeed(callOf("ADD", sandbox));
    expect(ipJson<{ ifalias: string }>("link", "show", "dev", hostName)).toMatchObject([{ ifalias: "podlink net1 cid-1 eth0" }]);
    expect(steps.at(-1)).toContain("alias 'podlink net1 cid-1 eth0'");
  });
});
