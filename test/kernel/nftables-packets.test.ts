import { beforeEach, describe, expect, it } from "vitest";
import { Address } from "../../src/ip/address.ts";
import { Prefix } from "../../src/ip/prefix.ts";
import { type ConnectionChoice, deleteConnections } from "../../src/link/conntrack.ts";
import type { Sandbox } from "../../src/link/namespace.ts";
import { applyBatch } from "../../src/link/nftables.ts";
import { Batch } from "../../src/netlink/netfilter/batch.ts";
import { listConnections } from "../../src/netlink/netfilter/conntrack.ts";
import type { Element } from "../../src/netlink/netfilter/element.ts";
import type { NftSet } from "../../src/netlink/netfilter/set.ts";
import { inSet, verdictMap } from "../../src/netlink/netfilter/statements/lookup.ts";
import { match } from "../../src/netlink/netfilter/statements/match.ts";
import { dnatToMap, masquerade } from "../../src/netlink/netfilter/statements/nat.ts";
import { verdict } from "../../src/netlink/netfilter/statements/verdict.ts";
import type { Table } from "../../src/netlink/netfilter/table.ts";
import { output } from "../support/node.ts";
import { addContainer, connectVeth, givenSysctls, makeStage, type Stage } from "../support/stage.ts";
import { ask, serve } from "../support/talk.ts";

const table: Table = { family: "inet", name: "podlink" };
const pods4: NftSet = { table, name: "pods4", key: ["ipv4_addr"], interval: true };
const pods6: NftSet = { table, name: "pods6", key: ["ipv6_addr"], interval: true };
const port = ["inet_proto", "inet_service"] as const;
const ports4: NftSet = { table, name: "ports4", key: port, data: ["ipv4_addr", "inet_service"] };
const ports6: NftSet = { table, name: "ports6", key: port, data: ["ipv6_addr", "inet_service"] };
const UDP = 17;

let stage: Stage;
let one: Sandbox;
let two: Sandbox;
let outside: Sandbox;

/** Links get no link-local address by themselves: until it is known to be unique, which takes a second, IPv6 says nothing. */
const byHand = { "net/ipv6/conf/default/addr_gen_mode": "1" };

/** A container routed through the host at `10.1.<number>.2` and `fd00:1:<number>::2`. */
function connect(number: number, options: { route: boolean }): Sandbox {
  const sandbox = addContainer(stage);
  sandbox.container.inside(() => givenSysctls(byHand));
  connectVeth(sandbox, `veth${number}`);
  const ip = (words: string) => output("ip", ...words.split(" "));
  sandbox.container.inside(() => {
    ip("link set lo up");
    ip("link set eth0 up");
    ip(`address add 10.1.${number}.2/24 dev eth0`);
    ip("address add fe80::2/64 dev eth0 nodad");
    ip(`address add fd00:1:${number}::2/64 dev eth0 nodad`);
    if (options.route) ip(`route add default via 10.1.${number}.1`);
    if (options.route) ip(`route add default via fd00:1:${number}::1`);
  });
  ip(`link set veth${number} up`);
  ip(`address add 10.1.${number}.1/24 dev veth${number}`);
  ip(`address add fe80::1/64 dev veth${number} nodad`);
  ip(`address add fd00:1:${number}::1/64 dev veth${number} nodad`);
  return sandbox;
}

beforeEach(() => {
  stage = makeStage();
  output("ip", "link", "set", "lo", "up");
  givenSysctls({ "net/ipv4/ip_forward": "1", "net/ipv6/conf/all/forwarding": "1", ...byHand });
  one = connect(1, { route: true });
  two = connect(2, { route: true });
  outside = connect(9, { route: false }); // knows nothing of the containers: only masqueraded packets are answered
  const batch = new Batch();
  batch.addTable(table);
  for (const set of [pods4, pods6, ports4, ports6]) batch.addSet(set);
  batch.addElements(pods4, [{ key: [Prefix.parse("10.1.0.0/22")] }]);
  batch.addElements(pods6, [{ key: [Prefix.parse("fd00:1:0::/46")] }]);
  batch.addChain({ table, name: "post", base: { type: "nat", hook: "postrouting", priority: 100 } });
  batch.addChain({ table, name: "pre", base: { type: "nat", hook: "prerouting", priority: -100 } });
  const random = masquerade({ fullyRandom: true });
  for (const statements of [
    [inSet(["ip saddr"], pods4), inSet(["ip daddr"], pods4, { not: true }), random],
    [inSet(["ip6 saddr"], pods6), inSet(["ip6 daddr"], pods6, { not: true }), random],
  ]) {
    batch.addRule({ table, chain: "post", statements });
  }
  const local = match("fib daddr type", "local");
  const fields = ["meta l4proto", "th dport"] as const;
  batch.addRule({ table, chain: "pre", statements: [local, match("meta nfproto", "ipv4"), dnatToMap(fields, ports4)] });
  batch.addRule({ table, chain: "pre", statements: [local, match("meta nfproto", "ipv6"), dnatToMap(fields, ports6)] });
  applyBatch(stage.host, batch);
});

function addPorts(map: NftSet, ...elements: Element[]): void {
  const batch = new Batch();
  batch.addElements(map, elements);
  applyBatch(stage.host, batch);
}

const inside = (sandbox: Sandbox) => sandbox.container.inside.bind(sandbox.container);

describe("masquerade", () => {
  it.each([
    { protocol: "tcp", address: "10.1.9.2", as: "10.1.9.1" },
    { protocol: "udp", address: "10.1.9.2", as: "10.1.9.1" },
    { protocol: "tcp", address: "fd00:1:9::2", as: "fd00:1:9::1" },
    { protocol: "udp", address: "fd00:1:9::2", as: "fd00:1:9::1" },
  ] as const)("gives what leaves the node the node's address: $protocol to $address", async ({ protocol, address, as }) => {
    await serve(inside(outside), { protocol, address, port: 7000, name: "outside" });
    expect(ask(inside(one), { protocol, address, port: 7000 })).toBe(`outside ${as}`);
  });

  it.each([
    { address: "10.1.2.2", as: "10.1.1.2" },
    { address: "fd00:1:2::2", as: "fd00:1:1::2" },
  ])("leaves what stays inside as it is: $address", async ({ address, as }) => {
    await serve(inside(two), { protocol: "tcp", address, port: 7000, name: "two" });
    expect(ask(inside(one), { protocol: "tcp", address, port: 7000 })).toBe(`two ${as}`);
  });
});

describe("dnat to a map", () => {
  it.each([
    { protocol: "tcp", map: ports4, node: "10.1.9.1", pod: "10.1.1.2", from: "10.1.9.2" },
    { protocol: "udp", map: ports4, node: "10.1.9.1", pod: "10.1.1.2", from: "10.1.9.2" },
    { protocol: "tcp", map: ports6, node: "fd00:1:9::1", pod: "fd00:1:1::2", from: "fd00:1:9::2" },
    { protocol: "udp", map: ports6, node: "fd00:1:9::1", pod: "fd00:1:1::2", from: "fd00:1:9::2" },
  ] as const)("brings $protocol to $node to a container", async ({ protocol, map, node, pod, from }) => {
    await serve(inside(one), { protocol, address: pod, port: 7000, name: "one" });
    const ask8080 = (patienceMs: number) => ask(inside(outside), { protocol, address: node, port: 8080, patienceMs });
    expect(ask8080(200)).toBeUndefined();
    addPorts(map, { key: [protocol, 8080], data: [pod, 7000], comment: "one" });
    expect(ask8080(2000)).toBe(`one ${from}`);
  });
});

describe("a verdict map", () => {
  it("decides by link and source", async () => {
    const links: NftSet = { table, name: "links", key: ["ifname", "ipv4_addr"], data: "verdict" };
    const batch = new Batch();
    batch.addChain({ table, name: "shut" });
    batch.addSet(links);
    batch.addElements(links, [
      { key: ["veth1", "10.1.1.2"], data: { code: "accept" } },
      { key: ["veth2", "10.1.2.2"], data: { code: "goto", chain: "shut" } },
    ]);
    batch.addRule({ table, chain: "shut", statements: [verdict("drop")] });
    batch.addChain({ table, name: "in", base: { type: "filter", hook: "input", priority: 0 } });
    batch.addRule({ table, chain: "in", statements: [verdictMap(["iifname", "ip saddr"], links)] });
    applyBatch(stage.host, batch);
    await serve((work) => work(), { protocol: "tcp", address: "10.1.1.1", port: 7000, name: "node" });
    const request = { protocol: "tcp", address: "10.1.1.1", port: 7000 } as const;
    expect(ask(inside(one), request)).toBe("node 10.1.1.2");
    expect(ask(inside(two), { ...request, patienceMs: 300 })).toBeUndefined();
  });
});

describe("connections", () => {
  const question = { protocol: "udp", address: "10.1.9.1", port: 5353, sourcePort: 4444 } as const;
  const flow: ConnectionChoice = { family: 4, protocol: "udp", originalDestinationPort: 5353 };

  beforeEach(async () => {
    await serve(inside(one), { protocol: "udp", address: "10.1.1.2", port: 53, name: "one" });
    await serve(inside(two), { protocol: "udp", address: "10.1.2.2", port: 53, name: "two" });
    addPorts(ports4, { key: ["udp", 5353], data: ["10.1.1.2", 53] });
  });

  function moveToTwo(): void {
    const batch = new Batch();
    batch.deleteElements(ports4, [{ key: ["udp", 5353] }]);
    batch.addElements(ports4, [{ key: ["udp", 5353], data: ["10.1.2.2", 53] }]);
    applyBatch(stage.host, batch);
  }

  it("go on where they went until they are deleted", () => {
    expect(ask(inside(outside), question)).toBe("one 10.1.9.2");
    moveToTwo();
    expect(ask(inside(outside), question)).toBe("one 10.1.9.2");
    expect(deleteConnections(stage.host, flow)).toBe(1);
    expect(stage.commands().at(-1)).toBe("conntrack -D -f ipv4 -p udp --orig-port-dst 5353 || true");
    expect(ask(inside(outside), question)).toBe("two 10.1.9.2");
  });

  it("are deleted by the command that the step names", () => {
    ask(inside(outside), question);
    moveToTwo();
    output("conntrack", ..."-D -f ipv4 -p udp --orig-port-dst 5353".split(" "));
    expect(ask(inside(outside), question)).toBe("two 10.1.9.2");
  });

  it.each<{ choice: ConnectionChoice; count: number }>([
    { choice: { family: 4 }, count: 2 },
    { choice: { family: 4, protocol: "udp" }, count: 2 },
    { choice: { family: 4, protocol: "tcp" }, count: 0 },
    { choice: { family: 6 }, count: 0 },
    { choice: flow, count: 1 },
    { choice: { family: 4, originalDestinationPort: 5353 }, count: 1 },
    { choice: { ...flow, originalDestination: Address.parse("10.1.9.1") }, count: 1 },
    { choice: { ...flow, originalDestination: Address.parse("10.1.9.7") }, count: 0 },
    { choice: { family: 4, originalSource: Address.parse("10.1.9.2") }, count: 1 },
    { choice: { family: 4, replySource: Address.parse("10.1.1.2") }, count: 1 },
    { choice: { family: 4, protocol: "udp", replySource: Address.parse("10.1.2.2"), replySourcePort: 53 }, count: 1 },
    { choice: { family: 4, protocol: "udp", replySourcePort: 53 }, count: 2 },
    { choice: { family: 4, replyDestination: Address.parse("10.1.9.2") }, count: 1 },
  ])("agree with $choice: $count", ({ choice, count }) => {
    ask(inside(outside), question);
    ask(inside(one), { protocol: "udp", address: "10.1.2.2", port: 53, sourcePort: 4445 });
    expect(deleteConnections(stage.host, choice)).toBe(count);
    const left = listConnections(stage.host.nftables.connection, { family: 4 });
    expect(left).toHaveLength(2 - count);
    expect(stage.commands().filter((command) => command.startsWith("conntrack"))).toHaveLength(count === 0 ? 0 : 1);
  });

  it("of IPv6 are deleted too", async () => {
    await serve(inside(one), { protocol: "udp", address: "fd00:1:1::2", port: 53, name: "one" });
    addPorts(ports6, { key: ["udp", 5353], data: ["fd00:1:1::2", 53] });
    expect(ask(inside(outside), { ...question, address: "fd00:1:9::1" })).toBe("one fd00:1:9::2");
    const choice = { family: 6, protocol: "udp", originalDestinationPort: 5353 } as const;
    expect(deleteConnections(stage.host, { ...choice, originalDestination: Address.parse("fd00:1:9::2") })).toBe(0);
    expect(deleteConnections(stage.host, { ...choice, originalDestination: Address.parse("fd00:1:9::1") })).toBe(1);
    expect(deleteConnections(stage.host, choice)).toBe(0);
  });

  it("that do not agree are left out by the kernel already", () => {
    ask(inside(outside), question);
    ask(inside(one), { protocol: "udp", address: "10.1.2.2", port: 53 });
    const { connection } = stage.host.nftables;
    const sizes: number[] = [];
    const counting = Object.create(connection, {
      dump: {
        value: (request: Parameters<typeof connection.dump>[0]) => {
          const bodies = connection.dump(request);
          sizes.push(bodies.length);
          return bodies;
        },
      },
    });
    const found = listConnections(counting, { family: 4, protocol: UDP, original: { destinationPort: 5353 } });
    expect(found.map(({ reply }) => reply?.ip?.source4)).toEqual([Address.parse("10.1.1.2")]);
    expect(sizes).toEqual([1]);
  });
});
