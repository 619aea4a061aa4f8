import { beforeEach, describe, expect, it } from "vitest";
import { Address } from "../../src/ip/address.ts";
import { Prefix } from "../../src/ip/prefix.ts";
import { applyBatch, transaction } from "../../src/link/nftables.ts";
import { Batch } from "../../src/netlink/netfilter/batch.ts";
import { formatExpressions } from "../../src/netlink/netfilter/rule.ts";
import type { NftSet } from "../../src/netlink/netfilter/set.ts";
import { raw, type Statement } from "../../src/netlink/netfilter/statement.ts";
import { inSet, oneOf, verdictMap } from "../../src/netlink/netfilter/statements/lookup.ts";
import { flagged, masked, match } from "../../src/netlink/netfilter/statements/match.ts";
import { dnatToMap, masquerade, translate } from "../../src/netlink/netfilter/statements/nat.ts";
import { counter, jump, reject, setMarkBits, verdict } from "../../src/netlink/netfilter/statements/verdict.ts";
import type { Table } from "../../src/netlink/netfilter/table.ts";
import { output } from "../support/node.ts";
import { addContainer, makeStage, type Stage } from "../support/stage.ts";

const table: Table = { family: "inet", name: "podlink" };
const bridge: Table = { family: "bridge", name: "podlink" };
const pods4: NftSet = { table, name: "pods4", key: ["ipv4_addr"], interval: true, comment: "this node" };
const pods6: NftSet = { table, name: "pods6", key: ["ipv6_addr"], interval: true };
const port = ["inet_proto", "inet_service"] as const;
const hostPorts4: NftSet = { table, name: "hostport4", key: port, data: ["ipv4_addr", "inet_service"] };
const hostPorts6: NftSet = { table, name: "hostport6", key: port, data: ["ipv6_addr", "inet_service"] };
const hostIps4: NftSet = { ...hostPorts4, name: "hostip4", key: ["ipv4_addr", ...port] };
const hairpin4: NftSet = { table, name: "hairpin4", key: ["ipv4_addr", "ipv4_addr"] };
const allowed: NftSet = { table, name: "allowed", key: ["ipv4_addr", "inet_service"], interval: true };
const spoof: NftSet = { table: bridge, name: "spoof", key: ["ifname", "ether_addr"], data: "verdict" };

const postrouting = { table, name: "postrouting", base: { type: "nat", hook: "postrouting", priority: 100 } } as const;
const prerouting = { table, name: "prerouting", base: { type: "nat", hook: "prerouting", priority: -100 } } as const;
const outgoing = { table, name: "output", base: { type: "nat", hook: "output", priority: -100 } } as const;
const forward = { table, name: "forward", base: { type: "filter", hook: "forward", priority: 0, policy: "drop" } } as const;
const checked = { table, name: "checked", comment: "for what passed" };

/** A whole ruleset with every kind of object. */
function wholeRuleset(): Batch {
  const batch = new Batch();
  batch.addTable(table);
  for (const set of [pods4, pods6, hostPorts4, hostPorts6, hostIps4, hairpin4, allowed]) batch.addSet(set);
  batch.addElements(
    pods4,
    ["10.244.1.0/24", "240.0.0.0/4", "10.9.8.7/32"].map((text) => ({ key: [Prefix.parse(text)] })),
  );
  batch.addElements(pods6, [{ key: [Prefix.parse("fd00:10:244:1::/64")] }]);
  batch.addElements(hostPorts4, [
    { key: ["tcp", 8080], data: [Address.parse("10.244.1.5"), 80], comment: "net/cid0123/eth0" },
    { key: ["sctp", 8080], data: [Address.parse("10.244.1.6"), 81] },
  ]);
  batch.addElements(hostPorts6, [{ key: ["udp", 53], data: [Address.parse("fd00:10:244:1::5"), 5353], comment: "v6" }]);
  batch.addElements(hostIps4, [{ key: ["192.0.2.1", "udp", 53], data: ["10.244.1.5", 53] }]);
  batch.addElements(hairpin4, [{ key: ["10.244.1.5", "10.244.1.5"] }]);
  batch.addElements(allowed, [
    { key: [Prefix.parse("10.0.0.0/24"), { first: 80, last: 90 }], comment: "web" },
    { key: ["10.1.0.1", 53] },
  ]);
  for (const chain of [checked, postrouting, prerouting, outgoing, forward]) batch.addChain(chain);
  const add = (chain: { readonly name: string }, ...statements: Statement[]) =>
    batch.addRule({ table, chain: chain.name, statements });
  add(postrouting, masked("meta mark", { mask: 0x4000, value: 0x4000 }), verdict("return"));
  add(
    postrouting,
    match("oifname", "podlink0"),
    flagged("ct status", ["dnat"]),
    inSet(["ip saddr", "ip daddr"], hairpin4),
    masquerade({ fullyRandom: true }),
  );
  add(postrouting, oneOf("fib daddr type", ["local", "broadcast", "multicast"]), verdict("return"));
  add(postrouting, inSet(["ip saddr"], pods4), inSet(["ip daddr"], pods4, { not: true }), masquerade({ fullyRandom: true }));
  add(postrouting, inSet(["ip6 saddr"], pods6), inSet(["ip6 daddr"], pods6, { not: true }), masquerade());
  add(postrouting, match("ip saddr", "10.0.0.1"), translate("snat", Address.parse("10.0.0.9")));
  for (const chain of [prerouting, outgoing]) {
    const local = match("fib daddr type", "local");
    const ipv4 = match("meta nfproto", "ipv4");
    add(chain, local, dnatToMap(["ip daddr", "meta l4proto", "th dport"], hostIps4));
    add(chain, local, ipv4, dnatToMap(["meta l4proto", "th dport"], hostPorts4));
    add(chain, local, match("meta nfproto", "ipv6"), dnatToMap(["meta l4proto", "th dport"], hostPorts6));
  }
  add(forward, flagged("ct state", ["established", "related"]), verdict("accept"));
  add(forward, match("ip daddr", Prefix.parse("127.0.0.0/8")), match("iifname", "lo", { not: true }), verdict("drop"));
  add(forward, match("iifname", "veth*"), match("ip daddr", Prefix.parse("10.0.0.0/12")), jump("checked"));
  add(forward, match("ct original ip daddr", "10.1.2.3"), match("ct direction", "original"), verdict("accept"));
  add(forward, inSet(["ip saddr", "th dport"], allowed), counter(), verdict("accept"));
  add(checked, setMarkBits("meta mark", 1), setMarkBits("ct mark", 2));
  const prefixes = ["10.0.0.0/9", "240.0.0.0/4"].map((text) => Prefix.parse(text));
  add(checked, oneOf("ip daddr", [...prefixes, "192.0.2.1"]), verdict("return"));
  add(checked, match("tcp dport", { first: 80, last: 90 }), match("ether saddr", "02:00:00:00:00:01"), reject());
  batch.addRule({
    table,
    chain: "checked",
    statements: [flagged("ct status", ["dnat"], { not: true })],
    comment: "the last one",
  });
  batch.insertRule({ table, chain: "checked", statements: [reject("admin-prohibited")] });

  batch.addTable(bridge);
  batch.addChain({ table: bridge, name: "other" });
  batch.addSet(spoof);
  batch.addElements(spoof, [
    { key: ["veth1", "02:00:00:00:00:01"], data: { code: "accept" } },
    { key: ["veth2", "02:00:00:00:00:02"], data: { code: "goto", chain: "other" }, comment: "net/cid/eth0" },
  ]);
  batch.addChain({ table: bridge, name: "prerouting", base: { type: "filter", hook: "prerouting", priority: -300 } });
  batch.addRule({ table: bridge, chain: "prerouting", statements: [verdictMap(["iifname", "ether saddr"], spoof)] });
  batch.addRule({ table: bridge, chain: "prerouting", statements: [match("iifname", "veth*"), verdict("drop")] });
  return batch;
}

const LISTED = `\
table inet podlink {
	set pods4 {
		type ipv4_addr
		flags interval
		comment "this node"
		elements = { 10.9.8.7, 10.244.1.0/24, 240.0.0.0/4 }
	}

	set pods6 {
		type ipv6_addr
		flags interval
		elements = { fd00:10:244:1::/64 }
	}

	map hostport4 {
		type inet_proto . inet_service : ipv4_addr . inet_service
		elements = { tcp . 8080 comment "net/cid0123/eth0" : 10.244.1.5 . 80, sctp . 8080 : 10.244.1.6 . 81 }
	}

	map hostport6 {
		type inet_proto . inet_service : ipv6_addr . inet_service
		elements = { udp . 53 comment "v6" : fd00:10:244:1::5 . 5353 }
	}

	map hostip4 {
		type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service
		elements = { 192.0.2.1 . udp . 53 : 10.244.1.5 . 53 }
	}

	set hairpin4 {
		type ipv4_addr . ipv4_addr
		elements = { 10.244.1.5 . 10.244.1.5 }
	}

	set allowed {
		type ipv4_addr . inet_service
		flags interval
		elements = { 10.0.0.0/24 . 80-90 comment "web", 10.1.0.1 . 53 }
	}

	chain checked {
		comment "for what passed"
		reject with icmpx admin-prohibited
		meta mark set meta mark | 0x00000001 ct mark set ct mark | 0x00000002
		ip daddr { 10.0.0.0/9, 192.0.2.1, 240.0.0.0/4 } return
		tcp dport 80-90 ether saddr 02:00:00:00:00:01 reject
		ct status ! dnat comment "the last one"
	}

	chain postrouting {
		type nat hook postrouting priority 100; policy accept;
		meta mark & 0x00004000 == 0x00004000 return
		oifname "podlink0" ct status dnat ip saddr . ip daddr @hairpin4 masquerade fully-random
		fib daddr type { local, broadcast, multicast } return
		ip saddr @pods4 ip daddr != @pods4 masquerade fully-random
		ip6 saddr @pods6 ip6 daddr != @pods6 masquerade
		ip saddr 10.0.0.1 snat ip to 10.0.0.9
	}

	chain prerouting {
		type nat hook prerouting priority -100; policy accept;
		fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @hostip4
		fib daddr type local meta nfproto ipv4 dnat ip to meta l4proto . th dport map @hostport4
		fib daddr type local meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @hostport6
	}

	chain output {
		type nat hook output priority -100; policy accept;
		fib daddr type local dnat ip to ip daddr . meta l4proto . th dport map @hostip4
		fib daddr type local meta nfproto ipv4 dnat ip to meta l4proto . th dport map @hostport4
		fib daddr type local meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @hostport6
	}

	chain forward {
		type filter hook forward priority 0; policy drop;
		ct state established,related accept
		ip daddr 127.0.0.0/8 iifname != "lo" drop
		iifname "veth*" ip daddr 10.0.0.0/12 jump checked
		ct original ip daddr 10.1.2.3 ct direction original accept
		ip saddr . th dport @allowed counter packets 0 bytes 0 accept
	}
}
table bridge podlink {
	map spoof {
		type ifname . ether_addr : verdict
		elements = { "veth1" . 02:00:00:00:00:01 : accept, "veth2" . 02:00:00:00:00:02 comment "net/cid/eth0" : goto other }
	}

	chain other {
	}

	chain prerouting {
		type filter hook prerouting priority -300; policy accept;
		iifname . ether saddr vmap @spoof
		iifname "veth*" drop
	}
}
`;

let stage: Stage;
beforeEach(() => {
  stage = makeStage();
});

/** What `nft list` prints. */
function listed(): string {
  return sorted(output("nft", "--numeric-priority", "list", "ruleset"));
}

function byNumber(one: string, other: string): number {
  return one.localeCompare(other, "en", { numeric: true });
}

/** Elements on one line in an order of their own: hash tables have none. */
function sorted(text: string): string {
  return text.replace(/elements = \{([^}]*)\}/g, (_, elements: string) => {
    const each = elements.split(",").map((element) => element.trim());
    return `elements = { ${each.sort(byNumber).join(", ")} }`;
  });
}

function apply(...fills: ((batch: Batch) => void)[]): void {
  const batch = new Batch();
  for (const fill of fills) fill(batch);
  applyBatch(stage.host, batch);
}

describe("a ruleset made by a batch", () => {
  it("is listed by nft as it was meant", () => {
    applyBatch(stage.host, wholeRuleset());
    expect(listed()).toBe(sorted(LISTED));
  });

  it("is one step, whose command makes the same ruleset", () => {
    applyBatch(stage.host, wholeRuleset());
    const [command, ...others] = stage.commands();
    expect(others).toEqual([]);
    const ours = listed();
    output("nft", "flush", "ruleset");
    output("sh", "-c", command ?? "");
    expect(listed()).toBe(ours);
  });

  it("is what nft reads back from its own listing", () => {
    applyBatch(stage.host, wholeRuleset());
    const ours = listed();
    const file = output("nft", "list", "ruleset");
    output("nft", "flush", "ruleset");
    output("sh", "-c", 'printf %s "$1" | nft -f -', "sh", file);
    expect(listed()).toBe(ours);
  });

  it("compiles to the expressions that nft compiles its words to", () => {
    applyBatch(stage.host, wholeRuleset());
    const read = () =>
      [...stage.host.nftables.rules(table), ...stage.host.nftables.rules(bridge)].map(
        ({ chain, expressions }) => `${chain}\n${formatExpressions(expressions)}`,
      );
    const ours = read();
    expect(ours.length).toBeGreaterThan(20);
    const command = stage.commands()[0] ?? "";
    output("nft", "flush", "ruleset");
    output("sh", "-c", command);
    expect(read()).toEqual(ours);
  });

  it("is the same after it is made again but for its rules", () => {
    const objects = () =>
      apply(
        (batch) => batch.addTable(table),
        (batch) => batch.addSet(pods4),
        (batch) => batch.addElements(pods4, [{ key: [Prefix.parse("10.0.0.0/8")] }]),
        (batch) => batch.addSet(hostPorts4),
        (batch) => batch.addElements(hostPorts4, [{ key: ["tcp", 80], data: ["10.0.0.1", 80], comment: "x" }]),
        (batch) => batch.addSet(allowed),
        (batch) => batch.addElements(allowed, [{ key: [Prefix.parse("10.0.0.0/24"), 80] }]),
        (batch) => batch.addChain(forward),
        (batch) => batch.flushChain(forward),
        (batch) => batch.addRule({ table, chain: "forward", statements: [inSet(["ip saddr"], pods4), verdict("accept")] }),
      );
    objects();
    const once = listed();
    objects();
    expect(listed()).toBe(once);
  });

  it("goes into a container's namespace, without a step's command changing its meaning", () => {
    const sandbox = addContainer(stage);
    const batch = new Batch();
    batch.addTable(table);
    applyBatch(sandbox.container, batch);
    expect(sandbox.container.nftables.tables()).toMatchObject([table]);
    expect(stage.host.nftables.tables()).toEqual([]);
    expect(stage.commands()).toEqual([`nsenter --net=${sandbox.path} nft 'add table inet podlink'`]);
  });
});

describe("reading", () => {
  beforeEach(() => applyBatch(stage.host, wholeRuleset()));

  it("finds what was written", () => {
    const { nftables } = stage.host;
    expect(nftables.tables().map(({ family, name }) => [family, name])).toEqual([
      ["inet", "podlink"],
      ["bridge", "podlink"],
    ]);
    expect(nftables.chains(table).find(({ name }) => name === "forward")).toMatchObject({ base: forward.base });
    expect(nftables.chains(bridge).map(({ name }) => name)).toEqual(["other", "prerouting"]);
    const seen = nftables.sets(table).find(({ name }) => name === "hostport4");
    expect(seen).toMatchObject({ key: hostPorts4.key, data: hostPorts4.data });
    expect(nftables.rules(checked).map(({ comment }) => comment)).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      "the last one",
    ]);
  });

  it("finds elements, all or one", () => {
    const { nftables } = stage.host;
    const keys = nftables.elements(pods4)?.map(({ key: [range] }) => range);
    expect(keys).toEqual([
      Address.parse("10.9.8.7"),
      { first: Address.parse("10.244.1.0"), last: Address.parse("10.244.1.255") },
      { first: Address.parse("240.0.0.0"), last: Address.parse("255.255.255.255") },
    ]);
    expect(nftables.element(hostPorts4, ["tcp", 8080])).toEqual({
      key: ["tcp", 8080],
      data: [Address.parse("10.244.1.5"), 80],
      comment: "net/cid0123/eth0",
    });
    expect(nftables.element(hostPorts4, ["tcp", 8081])).toBeUndefined();
    expect(nftables.element(spoof, ["veth2", "02:00:00:00:00:02"])?.data).toEqual({ code: "goto", chain: "other" });
    expect(nftables.element(allowed, ["10.0.0.77", 85])?.comment).toBe("web");
    const intervalOf = (address: string) => nftables.element(pods4, [address])?.key[0];
    expect(intervalOf("10.244.1.77")).toEqual({ first: Address.parse("10.244.1.0"), last: Address.parse("10.244.1.255") });
    expect(intervalOf("10.244.1.255")).toEqual(intervalOf("10.244.1.0"));
    expect(intervalOf("10.9.8.7")).toEqual(Address.parse("10.9.8.7"));
    expect(intervalOf("250.1.2.3")).toEqual({ first: Address.parse("240.0.0.0"), last: Address.parse("255.255.255.255") });
    expect(intervalOf("10.245.1.77")).toBeUndefined();
    expect(nftables.elements({ ...pods4, name: "nope" })).toBeUndefined();
  });
});

describe("a batch that fails half way", () => {
  it("leaves nothing, and the error names the operation", () => {
    expect(() =>
      apply(
        (batch) => batch.addTable(table),
        (batch) => batch.addChain(forward),
        (batch) => batch.addRule({ table, chain: "nope", statements: [verdict("drop")] }),
        (batch) => batch.addSet(pods4),
      ),
    ).toThrow("nft add rule inet podlink nope drop: No such file or directory (ENOENT)");
    expect(listed()).toBe("");
  });

  it("names the element", () => {
    apply(
      (batch) => batch.addTable(table),
      (batch) => batch.addSet(hostPorts4),
      (batch) => batch.addElements(hostPorts4, [{ key: ["tcp", 81], data: ["10.0.0.1", 80] }]),
    );
    const before = listed();
    const taken = [80, 81].map((number) => ({ key: ["tcp", number], data: ["10.0.0.2", 80] }));
    expect(() => apply((batch) => batch.addElements(hostPorts4, taken))).toThrow(
      "nft add element inet podlink hostport4 { tcp . 80 : 10.0.0.2 . 80, tcp . 81 : 10.0.0.2 . 80 }: File exists (EEXIST): at element 2",
    );
    expect(listed()).toBe(before);
  });

  it("names the expression the kernel does not know", () => {
    const statements = [match("iifname", "lo"), raw("nosuch", [{ name: "nosuch", data: new Uint8Array() }])];
    expect(() =>
      apply(
        (batch) => batch.addTable(table),
        (batch) => batch.addChain({ table, name: "c" }),
        (batch) => batch.addRule({ table, chain: "c", statements }),
      ),
    ).toThrow('nft add rule inet podlink c iifname "lo" nosuch: No such file or directory (ENOENT): at expression 3, nosuch');
  });

  it("may be followed by another", () => {
    expect(() => apply((batch) => batch.deleteTable(table))).toThrow("ENOENT");
    apply((batch) => batch.addTable(table));
    expect(listed()).toBe("table inet podlink {\n}\n");
  });
});

describe("deleting", () => {
  it("takes away elements, rules, sets, chains and the table", () => {
    applyBatch(stage.host, wholeRuleset());
    const last = stage.host.nftables.rules(checked).at(-1);
    apply(
      (batch) => batch.deleteElements(pods4, [{ key: [Prefix.parse("10.244.1.0/24")] }]),
      (batch) => batch.deleteElements(hostPorts4, [{ key: ["tcp", 8080] }]),
      (batch) => batch.deleteElements(allowed, [{ key: [Prefix.parse("10.0.0.0/24"), { first: 80, last: 90 }] }]),
      (batch) => batch.flushSet(hairpin4),
      (batch) => batch.flushChain(outgoing),
      (batch) => batch.deleteChain(outgoing),
      (batch) => last !== undefined && batch.deleteRule(last),
      (batch) => batch.deleteTable(bridge),
    );
    const text = listed();
    expect(text).toContain("elements = { 10.9.8.7, 240.0.0.0/4 }");
    expect(text).toContain("elements = { sctp . 8080 : 10.244.1.6 . 81 }");
    expect(text).toContain("elements = { 10.1.0.1 . 53 }");
    expect(text).not.toMatch(/10\.244\.1\.5 \. 10\.244|chain output|the last one|table bridge/);
    apply((batch) => batch.deleteTable(table));
    expect(listed()).toBe("");
  });

  it("of what is absent is refused, or with ifPresent leaves the rest to be done", () => {
    const key = { key: ["tcp", 1] as const };
    const here = { key: ["tcp", 2] as const, data: ["10.0.0.1", 1] };
    apply(
      (batch) => batch.addTable(table),
      (batch) => batch.addSet(hostPorts4),
      (batch) => batch.addElements(hostPorts4, [here]),
    );
    expect(() => apply((batch) => batch.deleteElements(hostPorts4, [key]))).toThrow("ENOENT): at element 1");
    apply(
      (batch) => batch.deleteElements(hostPorts4, [key, here], { ifPresent: true }),
      (batch) => batch.deleteElements({ ...spoof, name: "nope" }, [{ key: ["x", "02:00:00:00:00:01"] }], { ifPresent: true }),
      (batch) => batch.deleteSet(hairpin4, { ifPresent: true }),
      (batch) => batch.flushChain(forward, { ifPresent: true }),
      (batch) => batch.deleteChain(forward, { ifPresent: true }),
      (batch) => batch.deleteTable(bridge, { ifPresent: true }),
    );
    expect(stage.host.nftables.elements(hostPorts4)).toEqual([]);
    output("nft", "flush", "ruleset");
    apply((batch) => batch.deleteElements(hostPorts4, [here], { ifPresent: true }));
    expect(listed()).toBe("");
  });
});

describe("transaction", () => {
  it("decides again when somebody changed the ruleset in between", () => {
    const seen: number[] = [];
    transaction(stage.host, (batch) => {
      seen.push(stage.host.nftables.tables().length);
      if (seen.length === 1) output("nft", "add", "table", "ip", "theirs");
      batch.addTable({ family: "ip", name: `ours${seen.at(-1)}` });
    });
    expect(seen).toEqual([0, 1]);
    expect(stage.host.nftables.tables().map(({ name }) => name)).toEqual(["theirs", "ours1"]);
  });
});

describe("a large batch", () => {
  it("of more bytes than the socket's buffer takes goes through in one", () => {
    const elements = Array.from({ length: 8000 }, (_, at) => ({
      key: ["10.0.0.1", Address.fromBytes(Uint8Array.of(10, 1, at >> 8, at & 0xff))],
      comment: `element number ${at}`,
    }));
    apply(
      (batch) => batch.addTable(table),
      (batch) => batch.addSet(hairpin4),
      (batch) => batch.addElements(hairpin4, elements),
    );
    expect(stage.host.nftables.elements(hairpin4)).toHaveLength(elements.length);
    apply((batch) => batch.deleteElements(hairpin4, elements));
    expect(stage.host.nftables.elements(hairpin4)).toEqual([]);
  });

  it("of thousands of refusals reports the first", () => {
    apply(
      (batch) => batch.addTable(table),
      (batch) => batch.addSet(hairpin4),
    );
    const absent = Array.from({ length: 3000 }, (_, at) => ({ table, chain: "nope", handle: BigInt(at + 1) }));
    expect(() =>
      apply(
        (batch) => batch.addTable(bridge),
        (batch) => {
          for (const rule of absent) batch.deleteRule(rule);
        },
      ),
    ).toThrow("nft delete rule inet podlink nope handle 1: No such file or directory (ENOENT)");
    expect(stage.host.nftables.tables()).toHaveLength(1);
    apply((batch) => batch.addTable(bridge));
  });
});
