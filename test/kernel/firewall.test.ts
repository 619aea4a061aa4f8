import { writeFileSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { hostLinkName, networkLinkPrefix } from "../../src/link/names.ts";
import { Bench, l2Network } from "../support/attach.ts";
import { FrameSocket } from "../support/frames.ts";
import { attachGuarded, detachGuarded, numberedNetwork } from "../support/guarded.ts";
import { nftablesState } from "../support/nft.ts";
import { makeSandbox, output } from "../support/node.ts";
import { makeOutside, type Outside } from "../support/outside.ts";
import { ask, serve } from "../support/talk.ts";

// From which containers a container can be reached: in real packets. Each ping is one packet, never sent again.

const bench = new Bench();
let outside: Outside;
beforeEach(() => {
  outside = makeOutside();
  // Neighbours of what is forwarded are asked from link-local addresses, which a new link has a second later by itself
  output("ip", "address", "add", "fe80::1/64", "dev", "uplink", "nodad");
  outside.sandbox.ip("address", "add", "fe80::9/64", "dev", "eth0", "nodad");
});

/** How long to wait for what shall not come; what comes takes a thousandth of it. */
const SILENCE = { timeoutMs: 200 };

const guard = (number: number, ingressPolicy?: string, more = {}) =>
  attachGuarded(bench, numberedNetwork(number), { keys: ingressPolicy === undefined ? {} : { ingressPolicy }, ...more });

/** Whether br_netfilter hands bridged packets to the hooks of IP too. */
function passBridged(value: "0" | "1"): void {
  for (const family of ["iptables", "ip6tables"]) writeFileSync(`/proc/sys/net/bridge/bridge-nf-call-${family}`, value);
}

describe.each(["0", "1"] as const)("where bridged packets go to iptables: %s", (value) => {
  beforeEach(() => passBridged(value));

  it.each([undefined, "", "open"])("policy %j lets all containers of the node reach each other", (policy) => {
    const [one, two, other] = [guard(1, policy), guard(1, policy), guard(2, policy)];
    for (const address of [one.v4, one.v6]) {
      expect(two.sandbox.ping(address)).toBe(true);
      expect(other.sandbox.ping(address)).toBe(true);
    }
  });

  it("same-bridge keeps bridges apart, and lets the containers of each reach each other", () => {
    const [one, two, other] = [guard(1, "same-bridge"), guard(1, "same-bridge"), guard(2, "same-bridge")];
    for (const address of [one.v4, one.v6]) {
      expect(two.sandbox.ping(address)).toBe(true);
      expect(other.sandbox.ping(address, SILENCE)).toBe(false);
    }
    for (const address of [other.v4, other.v6]) expect(one.sandbox.ping(address, SILENCE)).toBe(false);
  });

  it("isolated keeps containers of one bridge apart too", () => {
    const [one, two, other] = [guard(1, "isolated"), guard(1, "isolated"), guard(2, "same-bridge")];
    for (const [from, to] of [
      [one, two],
      [one, other],
      [other, two],
    ] as const) {
      expect(from.sandbox.ping(to.v4, SILENCE)).toBe(false);
      expect(from.sandbox.ping(to.v6, SILENCE)).toBe(false);
    }
  });

  it.each(["same-bridge", "isolated"])("%s leaves the node, other machines and networks without a policy alone", (policy) => {
    const [one, free] = [guard(1, policy), guard(2)];
    for (const address of ["10.91.0.1", "fd00:91::1", outside.v4, outside.v6, free.v4, free.v6]) {
      expect(one.sandbox.ping(address), address).toBe(true);
    }
    for (const address of [one.v4, one.v6]) {
      expect(output("ping", "-c", "1", "-W", "2", address)).toContain("1 received");
      expect(outside.sandbox.ping(address)).toBe(true);
      expect(free.sandbox.ping(address)).toBe(true);
    }
  });
});

it("a policy holds for connections over a port of the node too, and not for those from elsewhere", async () => {
  const [one, other] = [guard(1, "same-bridge"), guard(2, "same-bridge")];
  await serve(one.sandbox.run.bind(one.sandbox), { protocol: "tcp", address: one.v4, port: 80, name: "one" });
  output("nft", `table ip test { chain c { type nat hook prerouting priority -100; tcp dport 8080 dnat to ${one.v4}:80; }; }`);
  const endpoint = { protocol: "tcp", address: outside.node.v4, port: 8080 } as const;
  expect(ask(outside.sandbox.run.bind(outside.sandbox), endpoint)).toBe(`one ${outside.v4}`);
  expect(ask(other.sandbox.run.bind(other.sandbox), { ...endpoint, patienceMs: 300 })).toBeUndefined();
});

it("isolated containers do not hear each other's frames, whatever is in them, and others of the bridge do", () => {
  const wire = l2Network();
  const isolated = { keys: { ingressPolicy: "isolated" } };
  const [one, two] = [attachGuarded(bench, wire, isolated), attachGuarded(bench, wire, isolated)];
  const free = bench.attach(wire);
  const [from, guarded, heard] = [one, two, free].map(({ sandbox }) => new FrameSocket(sandbox, "eth0"));
  from?.send("hello");
  expect(heard?.receive(2000)).toBe("hello");
  expect(guarded?.receive(SILENCE.timeoutMs)).toBeUndefined();
});

it("a bridge with both policies is isolated until the last that asked for it has gone", () => {
  const [one, two] = [guard(1, "same-bridge"), guard(1, "same-bridge")];
  const asking = guard(1, "isolated");
  passBridged("1");
  expect(one.sandbox.ping(two.v4, SILENCE)).toBe(false);
  detachGuarded(bench, asking);
  expect(one.sandbox.ping(two.v4)).toBe(true);
});

describe("rules and elements", () => {
  it("are these for one container of each policy", () => {
    guard(1, "same-bridge");
    guard(2, "isolated");
    guard(3);
    const owner = (number: number) => hostLinkName({ network: `net${number}`, containerId: `cid-${number}`, ifname: "eth0" });
    const names = [1, 2, 3].map(owner);
    const text = names.reduce((rules, name, at) => rules.replaceAll(name, `HOST${at + 1}`), output("nft", "list", "ruleset"));
    const sorted = text.replace(
      /elements = \{([^}]*)\}/g,
      (_all, list: string) =>
        `elements = { ${list
          .split(/,\s+/)
          .map((each) => each.trim())
          .sort()
          .join(", ")} }`,
    );
    expect(sorted).toMatchInlineSnapshot(`
      "table inet podlink {
      	comment "made by podlink; it makes again what is missing"
      	set policy_bridges {
      		type ifname
      		elements = { "br1", "br2" }
      	}

      	set policy_same_bridge {
      		type ifname . ifname
      		elements = { "br1" . "br1", "br2" . "br2" }
      	}

      	set policy_isolated {
      		type ifname . ifname
      		elements = { "br2" . "br2" }
      	}

      	map policy_users {
      		type ifname : ifname
      		comment "attachments whose bridge has an ingress policy"
      		elements = { "HOST1" comment "HOST1 net1 cid-1 eth0" : "br1", "HOST2" comment "HOST2 net2 cid-2 eth0" : "br2" }
      	}

      	map link_witnesses {
      		type ifname . ifname : ifname
      		comment "one of the attachments that share a link, so that the others can go unheard"
      		elements = { "forward_users" . "br1" : "HOST1", "forward_users" . "br2" : "HOST2", "forward_users" . "br3" : "HOST3", "isolated_users" . "br2" : "HOST2", "policy_users" . "br1" : "HOST1", "policy_users" . "br2" : "HOST2" }
      	}

      	map forward_users {
      		type ifname : ifname
      		comment "attachments whose bridge is let through chains that drop by policy"
      		elements = { "HOST1" comment "HOST1 net1 cid-1 eth0" : "br1", "HOST2" comment "HOST2 net2 cid-2 eth0" : "br2", "HOST3" comment "HOST3 net3 cid-3 eth0" : "br3" }
      	}

      	map isolated_users {
      		type ifname : ifname
      		comment "attachments whose bridge is isolated"
      		elements = { "HOST2" comment "HOST2 net2 cid-2 eth0" : "br2" }
      	}

      	chain ingress_policy {
      		type filter hook forward priority filter; policy accept;
      		iifname . oifname @policy_isolated drop comment "containers of an isolated bridge do not reach each other"
      		iifname . oifname @policy_same_bridge accept comment "a bridge's own traffic"
      		iifname @policy_bridges oifname @policy_bridges drop comment "bridges with a policy do not reach each other"
      	}
      }
      table bridge podlink {
      	comment "made by podlink; it makes again what is missing"
      	set isolated_ports {
      		type ifname
      		elements = { "HOST2" comment "HOST2 net2 cid-2 eth0" }
      	}

      	chain ingress_policy {
      		type filter hook forward priority filter; policy accept;
      		iifname @isolated_ports oifname @isolated_ports drop comment "isolated containers do not reach each other"
      	}
      }
      "
    `);
  });

  it("grow by elements only, never by rules, and go when their attachments go", () => {
    const rules = () => nftablesState().filter((line) => line.includes(": [")).length;
    const first = guard(1, "isolated");
    const before = rules();
    const more = [guard(1, "isolated"), guard(2, "isolated"), guard(2, "same-bridge")];
    expect(rules()).toBe(before);
    for (const each of [first, ...more]) detachGuarded(bench, each);
    expect(nftablesState().filter((line) => !line.includes(": ["))).toEqual([]);
  });

  it("of a bridge stay as long as one of its attachments, whichever network or interface it is of", () => {
    const first = guard(1, "same-bridge");
    const second = attachGuarded(
      bench,
      numberedNetwork(1, {
        name: "net1b",
        ipam: { type: "host-local", ranges: [[{ subnet: "10.91.0.0/24", rangeStart: "10.91.0.100" }]] },
      }),
      {
        keys: { ingressPolicy: "same-bridge" },
        containerId: first.who.containerId ?? "",
        sandbox: first.sandbox,
        ifname: "eth1",
      },
    );
    const other = guard(2, "same-bridge");
    detachGuarded(bench, first);
    expect(other.sandbox.ping(second.v4, SILENCE)).toBe(false);
    bench.caller.succeed({ ...second.firewall, command: "CHECK" });
    detachGuarded(bench, second);
    expect(nftablesState().filter((line) => line.includes('"br1"'))).toEqual([]);
  });

  it("follow a policy that changed between two ADDs", () => {
    const one = guard(1, "isolated");
    const again = { ...one.firewall, config: { ...(one.firewall.config as object), ingressPolicy: "same-bridge" } };
    bench.caller.succeed({ ...again, command: "ADD" });
    bench.caller.succeed({ ...again, command: "CHECK" });
    expect(nftablesState().filter((line) => /isolated\S*: /.test(line) && !line.includes(": ["))).toEqual([]);
    const open = { ...one.firewall, config: { ...(one.firewall.config as object), ingressPolicy: "open" } };
    bench.caller.succeed({ ...open, command: "ADD" });
    expect(nftablesState().filter((line) => /policy\S*: /.test(line) && !line.includes(": ["))).toEqual([]);
  });

  it("are gone from DEL on without anything but the names, and GC finds those of the network that are not valid", () => {
    const [one, two, other] = [guard(1, "isolated"), guard(1, "isolated"), guard(2, "isolated")];
    const call = { type: "firewall", config: { cniVersion: "1.1.0", name: "net1", type: "firewall", backend: "firewalld" } };
    bench.caller.succeed({ ...call, command: "DEL", containerId: one.who.containerId ?? "", env: { CNI_NETNS: undefined } });
    bench.caller.succeed({ ...two.firewall, command: "CHECK" });
    bench.caller.succeed({ ...call, command: "GC", config: { ...call.config, "cni.dev/valid-attachments": [] } });
    const left = nftablesState().filter((line) => !line.includes(": ["));
    expect(left.filter((line) => line.includes(networkLinkPrefix("net1")) || line.includes('"br1"'))).toEqual([]);
    bench.caller.succeed({ ...other.firewall, command: "CHECK" });
  });

  it("are made anew by the next ADD after all was flushed, and DEL of an earlier one is fine", () => {
    const [one, other] = [guard(1, "isolated"), guard(2, "isolated")];
    output("nft", "flush", "ruleset");
    expect(bench.caller.fail({ ...one.firewall, command: "CHECK" }).msg).toContain("ingress_policy");
    detachGuarded(bench, one);
    const next = guard(1, "isolated");
    bench.caller.succeed({ ...next.firewall, command: "CHECK" });
    bench.caller.succeed({ ...other.firewall, command: "ADD" });
    expect(other.sandbox.ping(next.v4, SILENCE)).toBe(false);
  });
});

it("a result without a veth pair of the node needs no policy, and may have none", () => {
  const sandbox = makeSandbox();
  const prevResult = { cniVersion: "1.1.0", interfaces: [{ name: "lo", sandbox: sandbox.path }] };
  const config = { cniVersion: "1.1.0", name: "net1", type: "firewall", prevResult };
  const call = { type: "firewall", ifname: "lo", netns: sandbox.path, command: "ADD" };
  expect(bench.caller.succeed({ ...call, config }).steps).toEqual([]);
  expect(bench.caller.fail({ ...call, config: { ...config, ingressPolicy: "isolated" } })).toMatchObject({ code: 7, steps: [] });
});
