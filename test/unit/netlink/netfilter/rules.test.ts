import { describe, expect, it } from "vitest";
import { Address } from "../../../../src/ip/address.ts";
import { Prefix } from "../../../../src/ip/prefix.ts";
import { Batch } from "../../../../src/netlink/netfilter/batch.ts";
import type { Expression } from "../../../../src/netlink/netfilter/expression.ts";
import { NFT } from "../../../../src/netlink/netfilter/message-types.ts";
import { formatExpressions, ruleMessage } from "../../../../src/netlink/netfilter/rule.ts";
import type { NftSet } from "../../../../src/netlink/netfilter/set.ts";
import { raw, type Statement } from "../../../../src/netlink/netfilter/statement.ts";
import { inSet, oneOf, verdictMap } from "../../../../src/netlink/netfilter/statements/lookup.ts";
import { flagged, masked, match } from "../../../../src/netlink/netfilter/statements/match.ts";
import { dnatToMap, masquerade, translate } from "../../../../src/netlink/netfilter/statements/nat.ts";
import { counter, jump, reject, setMarkBits, verdict } from "../../../../src/netlink/netfilter/statements/verdict.ts";
import type { Table } from "../../../../src/netlink/netfilter/table.ts";
import { splitMessages, toHex, vector } from "../../../support/hex.ts";

const FILE = "nftables.hex";
const table: Table = { family: "inet", name: "podlink" };
const bridge: Table = { family: "bridge", name: "podlink" };
const pods: NftSet = { table, name: "pods4", key: ["ipv4_addr"], interval: true };
const nodes: NftSet = { table, name: "nodes6", key: ["ipv6_addr"] };
const hairpin: NftSet = { table, name: "hairpin4", key: ["ipv4_addr", "ipv4_addr"] };
const port = ["inet_proto", "inet_service"] as const;
const hostPorts4: NftSet = { table, name: "hostport4", key: port, data: ["ipv4_addr", "inet_service"] };
const hostPorts6: NftSet = { table, name: "hostport6", key: port, data: ["ipv6_addr", "inet_service"] };
const links: NftSet = { table, name: "links", key: ["ifname", "ether_addr"], data: "verdict" };
const spoof: NftSet = { ...links, table: bridge, name: "spoof" };

interface Case {
  readonly name: string;
  readonly of?: Table;
  readonly chain: string;
  readonly statements: readonly Statement[];
  readonly comment?: string;
  readonly text: string;
}

const cases: readonly Case[] = [
  {
    name: "rule: mark",
    chain: "postrouting",
    statements: [masked("meta mark", { mask: 0x4000, value: 0x4000 }), verdict("return")],
    text: "meta mark & 0x00004000 == 0x00004000 return",
  },
  {
    name: "rule: hairpin",
    chain: "postrouting",
    statements: [
      match("oifname", "podlink0"),
      flagged("ct status", ["dnat"]),
      inSet(["ip saddr", "ip daddr"], hairpin),
      counter(),
      masquerade({ fullyRandom: true }),
    ],
    comment: "pod to self",
    text: `oifname "podlink0" ct status dnat ip saddr . ip daddr @hairpin4 counter masquerade fully-random comment "pod to self"`,
  },
  {
    name: "rule: masquerade",
    chain: "postrouting",
    statements: [inSet(["ip saddr"], pods), inSet(["ip daddr"], pods, { not: true }), masquerade()],
    text: "ip saddr @pods4 ip daddr != @pods4 masquerade",
  },
  {
    name: "rule: masquerade6",
    chain: "postrouting",
    statements: [inSet(["ip6 daddr"], nodes, { not: true }), masquerade({ fullyRandom: true })],
    text: "ip6 daddr != @nodes6 masquerade fully-random",
  },
  {
    name: "rule: dnat to map",
    chain: "prerouting",
    statements: [
      match("fib daddr type", "local"),
      match("meta nfproto", "ipv4"),
      dnatToMap(["meta l4proto", "th dport"], hostPorts4),
    ],
    text: "fib daddr type local meta nfproto ipv4 dnat ip to meta l4proto . th dport map @hostport4",
  },
  {
    name: "rule: dnat6 to map",
    chain: "prerouting",
    statements: [
      match("fib daddr type", "local"),
      match("meta nfproto", "ipv6"),
      dnatToMap(["meta l4proto", "th dport"], hostPorts6),
    ],
    text: "fib daddr type local meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @hostport6",
  },
  {
    name: "rule: verdict map",
    chain: "other",
    statements: [verdictMap(["iifname", "ether saddr"], links)],
    text: "iifname . ether saddr vmap @links",
  },
  {
    name: "rule: established",
    chain: "forward",
    statements: [flagged("ct state", ["established", "related"]), verdict("accept")],
    text: "ct state established,related accept",
  },
  {
    name: "rule: loopback",
    chain: "forward",
    statements: [match("ip daddr", Prefix.parse("127.0.0.0/8")), match("iifname", "lo", { not: true }), verdict("drop")],
    text: `ip daddr 127.0.0.0/8 iifname != "lo" drop`,
  },
  {
    name: "rule: wildcard, odd prefix, ports",
    chain: "forward",
    statements: [
      match("iifname", "veth*"),
      match("ip daddr", Prefix.parse("10.0.0.0/12")),
      match("tcp dport", { first: 80, last: 90 }),
      jump("other"),
    ],
    text: `iifname "veth*" ip daddr 10.0.0.0/12 tcp dport 80-90 jump other`,
  },
  {
    name: "rule: original",
    chain: "forward",
    statements: [match("ct original ip daddr", "10.1.2.3"), match("ct direction", "original"), verdict("accept")],
    text: "ct original ip daddr 10.1.2.3 ct direction original accept",
  },
  {
    name: "rule: mark set",
    chain: "forward",
    statements: [setMarkBits("meta mark", 1), setMarkBits("ct mark", 2)],
    text: "meta mark set meta mark | 0x00000001 ct mark set ct mark | 0x00000002",
  },
  {
    name: "rule: reject",
    chain: "plain",
    statements: [flagged("ct status", ["dnat"], { not: true }), reject()],
    text: "ct status ! dnat reject",
  },
  {
    name: "rule: snat",
    chain: "postrouting",
    statements: [match("ip saddr", "10.0.0.1"), translate("snat", Address.parse("10.0.0.9"))],
    text: "ip saddr 10.0.0.1 snat ip to 10.0.0.9",
  },
  {
    name: "rule: dnat with port",
    chain: "prerouting",
    statements: [match("meta l4proto", "tcp"), translate("dnat", Address.parse("fd00::1"), { port: 80 })],
    text: "meta l4proto tcp dnat ip6 to [fd00::1]:80",
  },
  {
    name: "rule: bridge",
    of: bridge,
    chain: "pre",
    statements: [verdictMap(["iifname", "ether saddr"], spoof)],
    text: "iifname . ether saddr vmap @spoof",
  },
  {
    name: "rule: bridge and IPv4",
    of: bridge,
    chain: "pre",
    statements: [match("ip saddr", Prefix.parse("10.1.0.0/16")), verdict("drop")],
    text: "ip saddr 10.1.0.0/16 drop",
  },
  {
    name: "rule: anonymous set",
    chain: "postrouting",
    statements: [oneOf("fib daddr type", ["local", "broadcast", "multicast"]), verdict("return")],
    text: "fib daddr type { local, broadcast, multicast } return",
  },
];

/** The rule in what nft sent. */
function captured(name: string): Uint8Array {
  const found = splitMessages(vector(FILE, name)).find(({ type }) => type === NFT.NEWRULE.number);
  if (found === undefined) throw new Error(`Cannot find a rule in "${name}"`);
  return found.body;
}

/** nft names sets by its own numbers too, and writes flags and operations that are zero. */
function essence(expression: Expression): Expression {
  if (expression.name === "bitwise") return { name: "bitwise", data: { ...expression.data, op: undefined } } as Expression;
  if (expression.name !== "lookup" || expression.data === undefined || expression.data instanceof Uint8Array) return expression;
  const { setId, flags, ...data } = expression.data as { setId?: number; flags?: number; set?: string };
  const own = data.set === "__set%d" ? { setId: 1 } : {};
  return { name: "lookup", data: { ...data, ...own, ...(flags === 0 ? {} : { flags }) } } as Expression;
}

describe("rules in the bytes of nft", () => {
  it.each(cases)("$name", ({ name, of = table, chain, statements, comment, text }) => {
    const batch = new Batch();
    batch.addRule({ table: of, chain, statements, comment });
    const theirs = ruleMessage.decode(captured(name));
    const expected = ruleMessage.encode({ ...theirs, expressions: theirs.expressions?.map(essence) });
    expect(toHex(batch.operations.at(-1)?.request.body ?? new Uint8Array())).toBe(toHex(expected));
    expect(batch.command).toBe(`nft 'add rule ${of.family} podlink ${chain} ${text}'`);
  });

  it.each(cases)("$name survives reading and writing", ({ name }) => {
    const body = captured(name);
    const read = ruleMessage.decode(body);
    expect(read).not.toHaveProperty("unknownAttributes");
    expect(toHex(ruleMessage.encode(read))).toBe(toHex(body));
  });

  it("sends a set without a name before its rule", () => {
    const batch = new Batch();
    batch.addRule({
      table,
      chain: "postrouting",
      statements: [oneOf("fib daddr type", ["local", "broadcast", "multicast"]), verdict("return")],
    });
    expect(batch.operations.map(({ request }) => request.type)).toEqual([NFT.NEWSET, NFT.NEWSETELEM, NFT.NEWRULE]);
    expect(batch.operations.map(({ command }) => command === undefined)).toEqual([true, true, false]);
  });

  it("writes where a rule goes", () => {
    const batch = new Batch();
    batch.addRule({ table, chain: "plain", statements: [verdict("accept")] }, { position: 27n });
    batch.insertRule({ table, chain: "plain", statements: [counter()] });
    const bodies = batch.operations.map(({ request }) => toHex(request.body));
    expect(bodies).toEqual([toHex(captured("add rule behind another")), toHex(captured("insert rule"))]);
    expect(batch.operations.map(({ request }) => (request.flags ?? 0) | 1)).toEqual([0xc01, 0x401]);
    expect(batch.command).toBe("nft 'add rule inet podlink plain handle 27 accept; insert rule inet podlink plain counter'");
  });

  it("needs the check of the family once, and not where it is known", () => {
    const count = (of: Table, ...statements: Statement[]) => {
      const batch = new Batch();
      batch.addRule({ table: of, chain: "x", statements });
      const rule = ruleMessage.decode(batch.operations.at(-1)?.request.body ?? new Uint8Array());
      return rule.expressions?.filter(({ name }) => name === "meta").length;
    };
    const both = [match("ip saddr", "10.0.0.1"), match("ip daddr", "10.0.0.2")];
    expect(count(table, ...both)).toBe(1);
    expect(count({ family: "ip", name: "x" }, ...both)).toBe(0);
    expect(count(bridge, match("ether saddr", "02:00:00:00:00:01"))).toBe(0);
    expect(count(table, match("ether saddr", "02:00:00:00:00:01"))).toBe(1);
    expect(count(table, match("meta nfproto", "ipv4"), ...both)).toBe(1);
    expect(count(table, match("meta nfproto", "ipv4", { not: true }), ...both)).toBe(2);
  });

  it("keeps expressions it has no codec for", () => {
    const data = Uint8Array.of(8, 0, 1, 0, 0, 0, 0, 5);
    const batch = new Batch();
    batch.addRule({ table, chain: "x", statements: [raw("limit rate 5/second", [{ name: "limit", data }])] });
    const [operation] = batch.operations;
    const rule = ruleMessage.decode(operation?.request.body ?? new Uint8Array());
    expect(rule.expressions).toEqual([{ name: "limit", data }]);
    expect(operation?.command).toBe("add rule inet podlink x limit rate 5/second");
    expect(formatExpressions(rule.expressions ?? [])).toBe("[ limit ]");
  });

  it("refuses a map without addresses for dnat, and a comparison outside a range", () => {
    expect(() => dnatToMap(["th dport"], links)).toThrow('Cannot translate to map "links": its data is ');
    const batch = new Batch();
    const statements = [match("th dport", { first: 1, last: 2 }, { not: true })];
    expect(() => batch.addRule({ table, chain: "x", statements })).toThrow(
      "Cannot compare th dport with what is outside a range",
    );
  });
});

describe("formatExpressions", () => {
  it.each([
    {
      name: "rule: hairpin",
      lines: [
        "[ meta load oifname => reg 1 ]",
        "[ cmp eq reg 1 0x6c646f70 0x306b6e69 0x00000000 0x00000000 ]",
        "[ ct load status => reg 1 ]",
        "[ bitwise reg 1 = ( reg 1 & 0x00000020 ) ^ 0x00000000 ]",
        "[ cmp neq reg 1 0x00000000 ]",
        "[ meta load nfproto => reg 1 ]",
        "[ cmp eq reg 1 0x00000002 ]",
        "[ payload load 4b @ network header + 12 => reg 1 ]",
        "[ payload load 4b @ network header + 16 => reg 9 ]",
        "[ lookup reg 1 set hairpin4 ]",
        "[ counter pkts 0 bytes 0 ]",
        "[ masq flags 0x10 ]",
      ],
    },
    {
      name: "rule: dnat6 to map",
      lines: [
        "[ fib daddr type => reg 1 ]",
        "[ cmp eq reg 1 0x00000002 ]",
        "[ meta load nfproto => reg 1 ]",
        "[ cmp eq reg 1 0x0000000a ]",
        "[ meta load l4proto => reg 1 ]",
        "[ payload load 2b @ transport header + 2 => reg 9 ]",
        "[ lookup reg 1 set hostport6 dreg 1 ]",
        "[ nat dnat ip6 addr_min reg 1 proto_min reg 2 ]",
      ],
    },
    {
      name: "rule: original",
      lines: [
        "[ ct load dst_ip => reg 1 , dir original ]",
        "[ cmp eq reg 1 0x0302010a ]",
        "[ ct load direction => reg 1 ]",
        "[ cmp eq reg 1 0x00000000 ]",
        "[ immediate reg 0 accept ]",
      ],
    },
    {
      name: "rule: wildcard, odd prefix, ports",
      lines: [
        "[ meta load iifname => reg 1 ]",
        "[ cmp eq reg 1 0x68746576 ]",
        "[ meta load nfproto => reg 1 ]",
        "[ cmp eq reg 1 0x00000002 ]",
        "[ payload load 4b @ network header + 16 => reg 1 ]",
        "[ bitwise reg 1 = ( reg 1 & 0x0000f0ff ) ^ 0x00000000 ]",
        "[ cmp eq reg 1 0x0000000a ]",
        "[ meta load l4proto => reg 1 ]",
        "[ cmp eq reg 1 0x00000006 ]",
        "[ payload load 2b @ transport header + 2 => reg 1 ]",
        "[ cmp gte reg 1 0x00005000 ]",
        "[ cmp lte reg 1 0x00005a00 ]",
        "[ immediate reg 0 jump -> other ]",
      ],
    },
    {
      name: "rule: dnat with port",
      lines: [
        "[ meta load l4proto => reg 1 ]",
        "[ cmp eq reg 1 0x00000006 ]",
        "[ immediate reg 1 0x000000fd 0x00000000 0x00000000 0x01000000 ]",
        "[ immediate reg 2 0x00005000 ]",
        "[ nat dnat ip6 addr_min reg 1 proto_min reg 2 flags 0x2 ]",
      ],
    },
    {
      name: "rule: masquerade6",
      lines: [
        "[ meta load nfproto => reg 1 ]",
        "[ cmp eq reg 1 0x0000000a ]",
        "[ payload load 16b @ network header + 24 => reg 1 ]",
        "[ lookup reg 1 set nodes6 0x1 ]",
        "[ masq flags 0x10 ]",
      ],
    },
  ])("prints as nft --debug=netlink does: $name", ({ name, lines }) => {
    expect(formatExpressions(ruleMessage.decode(captured(name)).expressions ?? []).split("\n")).toEqual(lines);
  });
});
