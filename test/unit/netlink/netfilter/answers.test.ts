import { describe, expect, it } from "vitest";
import { NetlinkError } from "../../../../src/netlink/acks.ts";
import { flags } from "../../../../src/netlink/connection.ts";
import type { ElementPlace } from "../../../../src/netlink/netfilter/element.ts";
import { Nftables } from "../../../../src/netlink/netfilter/nftables.ts";
import { formatExpressions } from "../../../../src/netlink/netfilter/rule.ts";
import type { NftSet } from "../../../../src/netlink/netfilter/set.ts";
import type { Table } from "../../../../src/netlink/netfilter/table.ts";
import { ack, done, FakeKernel, message, refusal, replay } from "../../../support/fake-kernel.ts";
import { vector } from "../../../support/hex.ts";

const FILE = "nftables.hex";
const table: Table = { family: "inet", name: "podlink" };
const ENOENT = 2;

/** What a kernel with the captured ruleset answers to a dump. */
function answering(name: string): Nftables {
  return new Nftables(new FakeKernel((request) => [replay(request, vector(FILE, name)), done(request)]));
}

/** Values as text, for comparing. */
function plain(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (_, each) =>
      typeof each === "object" && each !== null && "family" in each && "value" in each ? String(each) : each,
    ),
  );
}

describe("the captured ruleset", () => {
  it("has tables", () => {
    expect(answering("answer: tables").tables()).toEqual([
      { family: "inet", name: "podlink", comment: "of podlink", handle: 1n, use: expect.any(Number) },
      { family: "bridge", name: "podlink", comment: undefined, handle: 2n, use: 2 },
    ]);
  });

  it("has chains, those of a table where one is asked for", () => {
    const chains = answering("answer: chains").chains(table);
    expect(chains.map(({ name, base, comment }) => ({ name, base, comment }))).toEqual(
      expect.arrayContaining([
        { name: "other", base: undefined, comment: "jumped to" },
        { name: "postrouting", comment: undefined, base: { type: "nat", hook: "postrouting", priority: 100, policy: "accept" } },
        { name: "forward", comment: undefined, base: { type: "filter", hook: "forward", priority: -5, policy: "drop" } },
      ]),
    );
  });

  it("has sets and maps with their types", () => {
    const sets = answering("answer: sets").sets(table);
    const named = (name: string) => sets.find((set) => set.name === name);
    expect(named("pods4")).toMatchObject({ key: ["ipv4_addr"], data: undefined, interval: true, constant: false });
    expect(named("nodes6")).toMatchObject({ key: ["ipv6_addr"], interval: false, comment: "nodes" });
    expect(named("allowed")).toMatchObject({ key: ["ipv4_addr", "inet_service"], interval: true });
    expect(named("hostport4")).toMatchObject({ key: ["inet_proto", "inet_service"], data: ["ipv4_addr", "inet_service"] });
    expect(named("links")).toMatchObject({ key: ["ifname", "ether_addr"], data: "verdict" });
    expect(named("__set0")).toMatchObject({ key: ["fib_addrtype"], constant: true });
  });

  it("has rules with handles, expressions and comments", () => {
    const rules = answering("answer: rules").rules(table);
    const hairpin = rules.find(({ comment }) => comment === "pod to self");
    expect(hairpin).toMatchObject({ table, chain: "postrouting", handle: expect.any(BigInt) });
    expect(formatExpressions(hairpin?.expressions ?? [])).toContain("[ lookup reg 1 set hairpin4 ]\n[ counter pkts 0 bytes 0 ]");
    expect(rules.filter(({ comment }) => comment !== undefined)).toHaveLength(1);
  });

  it.each<{ set: NftSet; elements: unknown }>([
    {
      set: { table, name: "pods4", key: ["ipv4_addr"], interval: true },
      elements: [{ key: [{ first: "10.244.1.0", last: "10.244.1.255" }] }],
    },
    {
      set: { table, name: "hostport4", key: ["inet_proto", "inet_service"], data: ["ipv4_addr", "inet_service"] },
      elements: [{ key: ["tcp", 8080], data: ["10.244.1.5", 80], comment: "cid0123" }],
    },
    {
      set: { table, name: "allowed", key: ["ipv4_addr", "inet_service"], interval: true },
      elements: [
        {
          key: [
            { first: "10.0.0.0", last: "10.0.0.255" },
            { first: 80, last: 90 },
          ],
          comment: "x",
        },
      ],
    },
    {
      set: { table, name: "links", key: ["ifname", "ether_addr"], data: "verdict" },
      elements: [{ key: ["veth2", "02:00:00:00:00:02"], data: { code: "goto", chain: "plain" } }],
    },
    { set: { table, name: "hairpin4", key: ["ipv4_addr", "ipv4_addr"] }, elements: [{ key: ["10.244.1.5", "10.244.1.5"] }] },
  ])("has the elements of $set.name", ({ set, elements }) => {
    expect(plain(answering(`answer: elements of ${set.name}`).elements(set))).toEqual(elements);
  });

  it("has a generation", () => {
    const kernel = new FakeKernel((request) => [replay(request, vector(FILE, "answer: generation")), ack(request)]);
    expect(new Nftables(kernel).generation()).toBeGreaterThan(40);
  });
});

describe("elements asked for together", () => {
  const keys = [
    { set: { table, name: "ports", key: ["inet_service"] }, key: [53] },
    { set: { table, name: "links", key: ["ifname", "ipv4_addr"] }, key: ["eth0", "10.0.0.1"] },
  ] as const satisfies readonly ElementPlace[];

  it("are asked for as each alone is, and found in their order", () => {
    // A kernel that has all of it: the answer is like the question
    const kernel = () =>
      new FakeKernel((request) => [
        message({ ...request, flags: 0 }),
        ...((request.flags & flags.ACK) === 0 ? [] : [ack(request)]),
      ]);
    const places = [80, 443, 8080].flatMap((port) => [
      { set: keys[0].set, key: [port] },
      { set: keys[1].set, key: [`eth${port}`, "10.0.0.2"] },
    ]);
    const [together, alone] = [kernel(), kernel()];
    const found = new Nftables(together).find([...keys, ...places]);
    const each = new Nftables(alone);
    expect(plain(found)).toEqual(plain([...keys, ...places].map(({ set, key }) => each.element(set, key))));
    expect(plain(found.map((element) => element?.key))).toEqual(plain([...keys, ...places].map(({ key }) => key)));
    expect(together.requests.map(({ body }) => body)).toEqual(alone.requests.map(({ body }) => body));
  });

  it("are of sets without intervals", () => {
    const range = { set: keys[0].set, key: [{ first: 1, last: 2 }] };
    for (const places of [[range], [...keys, range]]) {
      expect(() => answering("answer: tables").find(places)).toThrow("it has no intervals");
    }
  });
});

describe("what is not there", () => {
  const absent = () => new Nftables(new FakeKernel((request) => [refusal(request, ENOENT)]));
  const set: NftSet = { table, name: "nope", key: ["ipv4_addr"] };

  it("reads as none", () => {
    expect(absent().rules(table)).toEqual([]);
    expect(absent().sets(table)).toEqual([]);
    expect(absent().elements(set)).toBeUndefined();
    expect(absent().element(set, ["10.0.0.1"])).toBeUndefined();
    expect(absent().find(["10.0.0.1", "10.0.0.2"].map((address) => ({ set, key: [address] })))).toEqual([undefined, undefined]);
  });

  it("is not another refusal", () => {
    const forbidden = new Nftables(new FakeKernel((request) => [refusal(request, 1)]));
    expect(() => forbidden.elements(set)).toThrow(NetlinkError);
    expect(() => forbidden.sets(table)).toThrow("NFT_MSG_GETSET: Operation not permitted (EPERM)");
  });
});
