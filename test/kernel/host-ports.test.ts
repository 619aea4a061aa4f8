import { spawnSync } from "node:child_process";
import { beforeEach, describe, expect, it } from "vitest";
import type { HostPort } from "../../src/firewall/host-port.ts";
import { checkHostPorts } from "../../src/firewall/host-port-check.ts";
import { HostPortTakenError } from "../../src/firewall/host-port-owner.ts";
import { collectHostPorts, deleteHostPorts, hostPortRemoval } from "../../src/firewall/host-port-removal.ts";
import {
  addHostPorts,
  finishHostPorts,
  type HostPortsWish,
  planHostPorts,
  rehearseHostPorts,
} from "../../src/firewall/host-ports.ts";
import { addMasquerade } from "../../src/firewall/masquerade.ts";
import { changeRuleset } from "../../src/firewall/ruleset-change.ts";
import { Address } from "../../src/ip/address.ts";
import { Prefix } from "../../src/ip/prefix.ts";
import { hostLinkName, type NameParts } from "../../src/link/names.ts";
import { transaction } from "../../src/link/nftables.ts";
import { Failures } from "../../src/support/errors.ts";
import { output } from "../support/node.ts";
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
  finishHostPorts(host, plan, { warn, takenOver: (claims?.takenOver.length ?? 0) > 0 });
  return claims;
}

function remove(containerId: string): void {
  const { host } = stage;
  changeRuleset(host, [hostPortRemoval(host, { warn, remove: (batch) => deleteHostPorts(host, batch, pod(containerId)) })]);
}

const ruleset = (): string => output("nft", "-s", "list", "ruleset");
const elements = (name: string, kind: "map" | "set" = "set"): string =>
  /elements = \{([^}]*)\}/.exec(output("nft", "list", kind, "inet", "podlink", name))?.[1] ?? "";

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

	map hostport_clients4 {
		type ipv4_addr : verdict
		elements = { 10.91.0.2 ${comment} : jump from_7fip5kvz }
	}

	map hostport_clients6 {
		type ipv6_addr : verdict
		elements = { fd00:91::2 ${comment} : jump from_uxmzti6e }
	}

	set hostport_self4 {
		type ipv4_addr . ipv4_addr
	}

	set hostport_self6 {
		type ipv6_addr . ipv6_addr
	}

	set hostport_loopback {
		type ifname . ipv4_addr
		elements = { "br0" . 10.91.0.2 ${comment} }
	}

	set route_localnet {
		type ifname
		elements = { "br0" }
	}

	map loopback_users {
		type ifname : ifname
		comment "attachments that processes of the node reach at 127.0.0.1, and over which link"
		elements = { "${id}" comment "${id} net1 cid-1 eth0" : "br0" }
	}

	map link_witnesses {
		type ifname . ifname : ifname
		comment "one of the attachments that share a link, so that the others can go unheard"
		elements = { "loopback_users" . "br0" : "${id}" }
	}

	map hostport_owners {
		type ifname . inet_service : ipv6_addr . inet_proto . inet_service . inet_service
		comment "attachments, and which host ports are theirs; tcp . 0: an address of their container"
		elements = { "${id}" . 0 ${comment} : ::ffff:0.0.0.0 . tcp . 8080 . 5,
			     "${id}" . 1 ${comment} : ::ffff:10.91.0.1 . udp . 53 . 5,
			     "${id}" . 2 ${comment} : :: . tcp . 8080 . 5,
			     "${id}" . 3 ${comment} : ::ffff:10.91.0.2 . tcp . 0 . 5,
			     "${id}" . 4 ${comment} : fd00:91::2 . tcp . 0 . 5 }
	}

	map hostport_addresses {
		type inet_proto . inet_service . inet_service : ipv6_addr . inet_service
		comment "host ports of one address of the node, and of which"
		elements = { udp . 53 . 0 : ::ffff:10.91.0.1 . 1 }
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
		ct status dnat ip saddr . ip daddr @hostport_self4 masquerade fully-random comment "containers reach themselves"
		ct status dnat ip6 saddr . ip6 daddr @hostport_self6 masquerade fully-random comment "containers reach themselves, IPv6"
		ct status dnat ip daddr vmap @hostport_clients4 comment "host ports: answers to clients of a container pass the node"
		ct status dnat ip6 daddr vmap @hostport_clients6 comment "host ports: answers to clients of a container pass the node, IPv6"
		ct status dnat ip saddr 127.0.0.0/8 oifname . ip daddr @hostport_loopback masquerade fully-random comment "host ports: processes of the node at 127.0.0.1"
	}

	chain from_7fip5kvz {
		ip saddr 10.91.0.0/24 masquerade fully-random comment "clients: 10.91.0.0/24"
	}

	chain from_uxmzti6e {
		ip6 saddr fd00:91::/64 masquerade fully-random comment "clients: fd00:91::/64"
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
    const wanted = wish("cid-1", [port(8080)]);
    const plan = planHostPorts(stage.host, wanted);
    transaction(stage.host, (batch) => {
      addMasquerade(stage.host, batch, { attachment: wanted.attachment, addresses: wanted.targets, except: [] });
      addHostPorts(stage.host, batch, plan);
    });
    expect(stage.commands()).toHaveLength(1);
    expect(elements("masqueraded4", "map")).toContain("10.91.0.2");
    expect(elements("hostport4", "map")).toContain("tcp . 8080");
  });
});

describe("who is masqueraded", () => {
  it("a container behind a link of its own is nobody's neighbour but its own", () => {
    output("ip", "link", "add", "veth0", "up", "type", "veth", "peer", "name", "veth0p");
    output("ip", "link", "set", "veth0p", "up");
    output("ip", "route", "add", "10.91.0.2", "dev", "veth0");
    add(wish("cid-1", [port(8080)], { targets: [Prefix.parse("10.91.0.2/24")] }));
    expect(elements("hostport_self4")).toContain("10.91.0.2 . 10.91.0.2");
    expect(elements("hostport_loopback")).toContain('"veth0" . 10.91.0.2');
  });

  it("a container that stands alone on its bridge neither", () => {
    add(wish("cid-1", [port(8080)], { targets: [Prefix.parse("10.91.0.2/32")] }));
    expect(elements("hostport_self4")).toContain("10.91.0.2 . 10.91.0.2");
  });

  it("a container behind a gateway is not reached at 127.0.0.1, which is said, and no sysctl is touched", () => {
    output("ip", "route", "add", "default", "via", "10.91.0.9");
    add(wish("cid-1", [port(8080)], { targets: [Prefix.parse("10.99.0.2/24")] }));
    expect(warnings).toEqual([expect.stringContaining("10.99.0.2 through 127.0.0.1")]);
    expect(stage.commands().join()).not.toContain("sysctl");
  });

  it("changes with the wish", () => {
    const alone = [Prefix.parse("10.91.0.2/32")];
    const wishes: Record<string, Partial<HostPortsWish>> = {
      "ip saddr 10.91.0.0/24 masquerade": { masquerade: "neighbours" },
      "{\n\t\tmasquerade": { masquerade: "everybody" },
      "": { masquerade: "neighbours", targets: alone },
    };
    for (const rule of [...Object.keys(wishes), ...Object.keys(wishes).reverse()]) {
      const wanted = wish("cid-1", [port(8080)], wishes[rule]);
      add(wanted);
      expect(faults(wanted)).toBe("");
      const chain = /10\.91\.0\.2 .*: jump (\w+)/.exec(elements("hostport_clients4", "map"))?.[1];
      expect(chain === undefined ? "" : output("nft", "list", "chain", "inet", "podlink", chain)).toContain(rule);
      expect(elements("hostport_self4").includes("10.91.0.2")).toBe(rule === "");
      const other = { ...wishes[rule], masquerade: rule.startsWith("{") ? "neighbours" : "everybody" } as const;
      expect(faults(wish("cid-1", [port(8080)], other))).toContain("hostport_clients4");
    }
    remove("cid-1");
    expect(ruleset()).not.toContain(" net1 ");
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
    for (const map of ["hostport4", "hostport6"]) {
      expect(elements(map, "map").match(/808\d/g)?.sort()).toEqual(["8080", "8082"]);
    }
    expect(ruleset()).not.toContain(" stale ");
  });
});
