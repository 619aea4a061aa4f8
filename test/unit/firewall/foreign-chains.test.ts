import { describe, expect, it } from "vitest";
import { directions, dropsByPolicy, forwardRule, type Mark, markOf } from "../../../src/firewall/foreign-chains.ts";
import type { Chain } from "../../../src/netlink/netfilter/chain.ts";
import { decodeRule, encodeRule, type RuleEntry, ruleMessage } from "../../../src/netlink/netfilter/rule.ts";
import { RuleContext } from "../../../src/netlink/netfilter/rule-context.ts";
import { readVectors, toHex } from "../../support/hex.ts";

const vectors = readVectors("iptables.hex");
const network = "net1";

function chain(family: "ip" | "ip6" | "inet", table: string, name: string, policy: "accept" | "drop" = "drop"): Chain {
  return { table: { family, name: table }, name, base: { type: "filter", hook: "forward", priority: 0, policy } };
}

const iptables = chain("ip", "filter", "FORWARD");
const native = chain("inet", "filter", "forward");

/** The rule of a mark as the kernel hands it out, and its instructions' bytes. */
function made(where: Chain, mark: Mark): { entry: RuleEntry; instructions: string } {
  const rule = { table: where.table, chain: where.name, ...forwardRule(where, mark) };
  const context = new RuleContext(where.table, () => 1);
  const expressions = rule.statements.flatMap((statement) => statement.compile(context));
  const { family, table } = { family: 2, table: where.table.name };
  const [empty, full] = [[], expressions].map((list) => toHex(ruleMessage.encode({ family, table, expressions: list })));
  return { entry: decodeRule(encodeRule(rule, expressions)), instructions: full?.slice(empty?.length) ?? "" };
}

describe("a rule in a chain of iptables", () => {
  it.each<[string, Mark]>([
    ["from a bridge", { direction: "from", link: "cni0", network }],
    ["replies to a bridge", { direction: "replies to", link: "cni0", network }],
    ["translated to a bridge", { direction: "translated to", link: "cni0", network }],
    ["from links named alike", { direction: "from", link: "plk3d9x*", network }],
  ])("%s is what iptables writes", (name, mark) => {
    const captured = vectors.get(name);
    expect(captured).toBeDefined();
    expect(made(iptables, mark).instructions).toBe(toHex(captured ?? new Uint8Array()));
  });

  it("reads in nft's words as it does", () => {
    const rule = forwardRule(iptables, { direction: "replies to", link: "cni0", network });
    expect(rule.statements.map(({ text }) => text)).toEqual([
      'oifname "cni0" ct state established,related counter accept comment "podlink: replies to cni0 (net1)"',
    ]);
  });
});

describe("a mark", () => {
  it.each([
    iptables,
    chain("ip6", "filter", "FORWARD"),
    native,
    chain("ip", "filter", "forward"),
    chain("ip", "mine", "FORWARD"),
  ])("is found again in $table.family $table.name $name", (where) => {
    for (const direction of directions) {
      const mark = { direction, link: "cni0", network };
      expect(markOf(made(where, mark).entry)).toEqual(mark);
    }
  });

  it("has room for the start of a long network's name only", () => {
    const long = "n".repeat(300);
    for (const where of [iptables, native]) {
      const mark = markOf(made(where, { direction: "replies to", link: "a".repeat(15), network: long }).entry);
      expect(mark).toEqual({ direction: "replies to", link: "a".repeat(15), network: long.slice(0, 60) });
    }
  });

  it.each([undefined, "", "podlink", "podlink: from cni0", "podlink: to cni0 (net1)", "from cni0 (net1)"])(
    "is not in %j",
    (comment) => {
      expect(markOf({ table: native.table, chain: "forward", handle: 1n, expressions: [], comment })).toBeUndefined();
    },
  );
});

it.each<[Chain, readonly (4 | 6)[], boolean]>([
  [iptables, [4], true],
  [iptables, [6], false],
  [chain("ip6", "filter", "FORWARD"), [4, 6], true],
  [native, [4], true],
  [native, [6], true],
  [native, [], false],
  [chain("ip", "filter", "FORWARD", "accept"), [4, 6], false],
  [{ table: native.table, name: "other" }, [4, 6], false],
])("%j drops families %j by policy: %j", (where, families, expected) => {
  expect(dropsByPolicy(where, families)).toBe(expected);
});
