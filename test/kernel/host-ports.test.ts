import { spawnSync } from "node:child_process";
import { beforeEach, describe, expect, it } from "vitest";
import type { HostPort } from "../../src/firewall/host-port.ts";
import { checkHostPorts } from "../../src/firewall/host-port-check.ts";
import { HostPortTakenError } from "../../src/firewall/host-port-owner.ts";
import {
  addHostPorts,
  collectHostPorts,
  deleteHostPorts,
  finishHostPorts,
  finishRemoval,
  type HostPortsWish,
  planHostPorts,
  type RemovedHostPorts,
  rehearseHostPorts,
} from "../../src/firewall/host-ports.ts";
import { Address } from "../../src/ip/address.ts";
import { Prefix } from "../../src/ip/prefix.ts";
import { hostLinkName, type NameParts } from "../../src/link/names.ts";
import { transaction } from "../../src/link/nftables.ts";
import { Failures } from "../../src/support/errors.ts";
import { makeSandbox, output } from "../support/node.ts";
import { makeOutside } from "../support/outside.ts";
import { SctpSocket, sctpInit } from "../support/sctp.ts";
import { makeStage, type Stage } from "../support/stage.ts";

// The elements and rules of host ports, on a kernel; who reaches whom through them is told by portmap.test.ts.

let stage: Stage;
let warnings: string[];
const warn = (message: string) => void warnings.push(message);

beforeEach(() => {
  stage = makeStage();
  warnings = [];
  output("ip", "link", "set", "lo", "up");
  output("ip", "link", "add", "br0", "up", "type", "bridge");
  output("ip", "address", "add", "10.91.0.1/24", "dev", "br0");
  output("ip", "address", "add", "fd00:91::1/64", "dev", "br0", "nodad");
});

const pod = (containerId: string): NameParts => ({ network: "net1", containerId, ifname: "eth0" });

function port(hostPort: number, more: Partial<HostPort> = {}): HostPort {
  return { protocol: "tcp", hostPort, containerPort: 80, hostAddress: undefined, families: [4, 6], ...more };
}

function wish(containerId: string, ports: readonly HostPort[], more: Partial<HostPortsWish> = {}): HostPortsWish {
  const targets = [Prefix.parse("10.91.0.2/24"), Prefix.parse("fd00:91::2/64")];
  return { attachment: pod(containerId), ports, targets, hostLink: undefined, masquerade: "neighbours", ...more };
}

function add(wanted: HostPortsWish) {
  const { host } = stage;
  const plan = planHostPorts(host, wanted);
  let claims: ReturnType<typeof addHostPorts> | undefined;
  transaction(host, (batch) => {
    claims = addHostPorts(host, batch, plan);
  });
  finishHostPorts(host, plan, { warn });
  return claims;
}

function remove(containerId: string): void {
  const { host } = stage;
  let removed: RemovedHostPorts = { ports: [], loopbackLinks: [] };
  transaction(host, (batch) => {
    removed = deleteHostPorts(host, batch, pod(containerId));
  });
  finishRemoval(host, removed, { warn });
}

const ruleset = (): string => output("nft", "-s", "list", "ruleset");
const elements = (set: string): string =>
  /elements = \{([^}]*)\}/.exec(output("nft", "list", "set", "inet", "podlink", set))?.[1] ?? "";

function faults(wanted: HostPortsWish): string {
  const failures = new Failures();
  checkHostPorts(stage.host, failures, planHostPorts(stage.host, wanted));
  try {
    failures.throwAny();
    return "";
  } catch (error) {
    return String(error);
  }
}

describe("the ruleset", () => {
  const id = hostLinkName(pod("cid-1"));

  it("is, in nft's words", () => {
    const special = port(53, { protocol: "udp", hostAddress: Address.parse("10.91.0.1"), families: [4], containerPort: 5353 });
    add(wish("cid-1", [port(8080), special], { pod: "default/web" }));
    expect(warnings).toEqual([]);
    const comment = `comment "${id} net1 @ cid-1 eth0 default/web"`;
    expect(ruleset()).toBe(`table inet podlink {
	comment "made by podlink; it makes again what is missing"
	map hostport4 {
		type inet_proto . inet_service : ipv4_addr . inet_service
		elements = { tcp . 8080 ${comment} : 10.91.0.2 . 80 }
	}

	map hostport4ip {
		type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
		elements = { 10.91.0.1 . udp . 53 ${comment} : 10.91.0.2 . 5353 }
	}

	map hostport6 {
		type inet_proto . inet_service : ipv6_addr . inet_service
		elements = { tcp . 8080 ${comment} : fd00:91::2 . 80 }
	}

	map hostport6ip {
		type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service
	}

	set hostport_return4 {
		type ipv4_addr . ipv4_addr
		flags interval
		elements = { 10.91.0.0/24 . 10.91.0.2 ${comment} }
	}

	set hostport_return6 {
		type ipv6_addr . ipv6_addr
		flags interval
		elements = { fd00:91::/64 . fd00:91::2 ${comment} }
	}

	set hostport_loopback {
		type ifname . ipv4_addr
		elements = { "br0" . 10.91.0.2 ${comment} }
	}

	set route_localnet {
		type ifname
		elements = { "br0" }
	}

	chain hostport_prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type != local return comment "host ports: only what is addressed to this node"
		dnat ip to ip daddr . meta l4proto . th dport map @hostport4ip comment "host ports of one IPv4 address"
		meta nfproto ipv4 dnat ip to meta l4proto . th dport map @hostport4 comment "host ports of every IPv4 address"
		dnat ip6 to ip6 daddr . meta l4proto . th dport map @hostport6ip comment "host ports of one IPv6 address"
		meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @hostport6 comment "host ports of every IPv6 address"
	}

	chain hostport_output {
		type nat hook output priority -100; policy accept;
		fib daddr type != local return comment "host ports: only what is addressed to this node"
		ip6 daddr ::1 return comment "nothing leads from [::1] to a container"
		dnat ip to ip daddr . meta l4proto . th dport map @hostport4ip comment "host ports of one IPv4 address"
		meta nfproto ipv4 dnat ip to meta l4proto . th dport map @hostport4 comment "host ports of every IPv4 address"
		dnat ip6 to ip6 daddr . meta l4proto . th dport map @hostport6ip comment "host ports of one IPv6 address"
		meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @hostport6 comment "host ports of every IPv6 address"
	}

	chain hostport_postrouting {
		type nat hook postrouting priority srcnat - 1; policy accept;
		ct status dnat ip saddr . ip daddr @hostport_return4 masquerade fully-random comment "host ports: answers between containers pass the node, IPv4"
		ct status dnat ip6 saddr . ip6 daddr @hostport_return6 masquerade fully-random comment "host ports: answers between containers pass the node, IPv6"
		ct status dnat ip saddr 127.0.0.0/8 oifname . ip daddr @hostport_loopback masquerade fully-random comment "host ports: processes of the node at 127.0.0.1"
	}

	chain loopback_guard {
		type filter hook prerouting priority raw; policy accept;
		iifname != "lo" ip daddr 127.0.0.0/8 drop comment "nobody reaches the node's loopback from outside"
		iifname != "lo" ip saddr 127.0.0.0/8 drop comment "nobody outside is the node's loopback"
	}
}
`);
  });

  it("is what the recorded commands make in an empty namespace", () => {
    add(wish("cid-1", [port(8080), port(53, { protocol: "udp" })]));
    remove("cid-1");
    add(wish("cid-2", [port(8081, { protocol: "sctp" })], { pod: "default/web" }));
    const made = ruleset();
    output("nft", "flush", "ruleset");
    for (const command of stage.commands()) {
      const { status, stderr } = spawnSync("sh", ["-c", command], { encoding: "utf8" });
      expect(`${status} ${stderr}`, command).toBe("0 ");
    }
    expect(ruleset()).toBe(made);
  });

  it("needs no guard and no sysctl where nothing is reached at 127.0.0.1", () => {
    add(wish("cid-1", [port(8080, { hostAddress: Address.parse("10.91.0.1"), families: [4] })]));
    expect(ruleset()).not.toContain("loopback_guard");
    expect(stage.commands().join()).not.toContain("sysctl");
  });

  it("can be made, says a rehearsal, and is not made by it", () => {
    rehearseHostPorts(stage.host);
    expect(ruleset()).toBe("");
    expect(stage.commands()).toEqual([]);
  });

  it("is in one transaction with whatever else the caller changes", () => {
    const plans = ["cid-1", "cid-2"].map((id, at) => planHostPorts(stage.host, wish(id, [port(8080 + at)])));
    transaction(stage.host, (batch) => {
      for (const plan of plans) addHostPorts(stage.host, batch, plan);
    });
    expect(stage.commands()).toHaveLength(1);
    expect(ruleset().match(/tcp \. 808[01]/g)).toHaveLength(4);
  });
});

describe("who is masqueraded", () => {
  it("a container behind a link of its own is nobody's neighbour but its own", () => {
    output("ip", "link", "add", "veth0", "up", "type", "veth", "peer", "name", "veth0p");
    output("ip", "link", "set", "veth0p", "up");
    output("ip", "route", "add", "10.91.0.2", "dev", "veth0");
    add(wish("cid-1", [port(8080)], { targets: [Prefix.parse("10.91.0.2/24")] }));
    expect(elements("hostport_return4")).toContain("10.91.0.2 . 10.91.0.2");
    expect(elements("hostport_loopback")).toContain('"veth0" . 10.91.0.2');
  });

  it("a container that stands alone on its bridge neither", () => {
    add(wish("cid-1", [port(8080)], { targets: [Prefix.parse("10.91.0.2/32")] }));
    expect(elements("hostport_return4")).toContain("10.91.0.2 . 10.91.0.2");
  });

  it("a container behind a gateway is not reached at 127.0.0.1, which is said, and no sysctl is touched", () => {
    output("ip", "route", "add", "default", "via", "10.91.0.9");
    add(wish("cid-1", [port(8080)], { targets: [Prefix.parse("10.99.0.2/24")] }));
    expect(warnings).toEqual([expect.stringContaining("10.99.0.2 through 127.0.0.1")]);
    expect(stage.commands().join()).not.toContain("sysctl");
  });

  it("changes with the wish, however the intervals overlap", () => {
    for (const masquerade of ["neighbours", "everybody", "neighbours"] as const) {
      add(wish("cid-1", [port(8080)], { masquerade }));
      const own = masquerade === "neighbours" ? "10.91.0.0/24" : "0.0.0.0/0";
      expect(elements("hostport_return4").match(/\S+ \. 10\.91\.0\.2/g)).toEqual([`${own} . 10.91.0.2`]);
      expect(faults(wish("cid-1", [port(8080)], { masquerade }))).toBe("");
    }
    expect(faults(wish("cid-1", [port(8080)], { masquerade: "everybody" }))).toContain("hostport_return4");
  });

  it("what a dead container's address had belongs to its heir", () => {
    add(wish("dead", [port(8080)]));
    add(wish("heir", [port(8081)]));
    remove("dead");
    expect(faults(wish("heir", [port(8081)]))).toBe("");
  });
});

describe("owners", () => {
  it("whose link is not known are never gone", () => {
    add(wish("cid-1", [port(8080)], { pod: "default/web" }));
    expect(() => add(wish("cid-2", [port(8080)]))).toThrow(HostPortTakenError);
    expect(() => add(wish("cid-2", [port(8080)]))).toThrow(
      'container "cid-1" (pod "default/web", network "net1", interface "eth0")',
    );
  });

  it("with long names are told as far as there is room", () => {
    const long = "c".repeat(64);
    add(wish(long, [port(8080)], { pod: "a-namespace/with-a-pod-of-a-very-long-name-indeed" }));
    expect(() => add(wish("cid-2", [port(8080)]))).toThrow(`container "${long}" (pod "a-namespace/with-a-pod-`);
    remove(long);
    expect(ruleset()).not.toContain("8080");
  });

  it("that podlink did not make are respected", () => {
    add(wish("cid-1", [port(8080)]));
    output("nft", "add element inet podlink hostport4 { tcp . 9000 : 10.91.0.7 . 9000 }");
    expect(() => add(wish("cid-2", [port(9000)]))).toThrow("9000/tcp: it is taken by an element that podlink did not make");
    remove("cid-1");
    expect(ruleset()).toContain("10.91.0.7 . 9000");
  });

  it("are collected but for the valid ones and those of other networks", () => {
    for (const [at, id] of ["kept", "stale"].entries()) add(wish(id, [port(8080 + at)]));
    add(wish("other", [port(8082)], { attachment: { ...pod("other"), network: "net2" } }));
    transaction(stage.host, (batch) => {
      collectHostPorts(stage.host, batch, { network: "net1", valid: [{ containerId: "kept", ifname: "eth0" }] });
    });
    expect(
      ruleset()
        .match(/tcp \. 808\d/g)
        ?.sort(),
    ).toEqual(["tcp . 8080", "tcp . 8080", "tcp . 8082", "tcp . 8082"]);
  });
});

describe("sctp", () => {
  it("is mapped: an INIT arrives at the container's port", () => {
    const outside = makeOutside();
    const container = makeSandbox();
    output("ip", "link", "add", "veth1", "master", "br0", "up", "type", "veth", "peer", "name", "eth0", "netns", container.path);
    container.ip("address", "add", "10.91.0.2/24", "dev", "eth0");
    container.ip("link", "set", "eth0", "up");
    output("sysctl", "-qw", "net.ipv4.ip_forward=1");
    add(wish("cid-1", [port(9999, { protocol: "sctp", containerPort: 7777 })]));
    const [server, client] = [new SctpSocket(container), new SctpSocket(outside.sandbox)];
    client.send(sctpInit({ from: 5555, to: 9999 }), outside.node.v4);
    expect(server.receive(2000)).toEqual({ from: 5555, to: 7777 });
    client.send(sctpInit({ from: 5555, to: 9998 }), outside.node.v4);
    expect(server.receive(300)).toBeUndefined();
  });
});
