import { createHash } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { hostLinkName, networkLinkPrefix } from "../../src/link/names.ts";
import { Steps } from "../../src/support/steps.ts";
import { type Attached, Bench, bridgeNetwork, l2Network, v4Network } from "../support/attach.ts";
import type { Json } from "../support/call-plugin.ts";
import { makeSandbox, output, type Sandbox } from "../support/node.ts";
import { makeOutside, type Outside } from "../support/outside.ts";
import { ask, serve } from "../support/talk.ts";

// Who sees which address of a container: in real connections, over a node between the container and another machine.

const bench = new Bench();
let outside: Outside;
beforeEach(() => {
  outside = makeOutside();
});

const PORT = 7000;
const inSandbox = (sandbox: Sandbox) => sandbox.run.bind(sandbox);

function network(more: Json = {}): Json & { readonly type: string } {
  return bridgeNetwork({ isDefaultGateway: true, ipMasq: true, ...more });
}

function secondNetwork(more: Json = {}): Json & { readonly type: string } {
  const ipam = { type: "host-local", ranges: [[{ subnet: "10.92.0.0/24" }], [{ subnet: "fd00:92::/64" }]] };
  return network({ name: "net2", bridge: "br2", ipam, ...more });
}

/** Answers with the address it sees. */
async function listen(sandbox: Sandbox, address: string, protocol: "tcp" | "udp" = "tcp"): Promise<void> {
  await serve(inSandbox(sandbox), { protocol, address, port: PORT, name: "saw" });
}

function seenFrom(sandbox: Sandbox, address: string, protocol: "tcp" | "udp" = "tcp"): string | undefined {
  return ask(inSandbox(sandbox), { protocol, address, port: PORT });
}

const ruleset = (): string => output("nft", "list", "ruleset");
const ruleCount = (): number => (output("nft", "-j", "list", "ruleset").match(/"rule":/g) ?? []).length;
const elementsOf = (set: string): string => output("nft", "list", "set", "inet", "podlink", set);

describe("what a container sends", () => {
  it("to the outside comes from the node, in both families and over udp", async () => {
    const { sandbox, v4, v6 } = bench.attach(network());
    for (const address of [outside.v4, outside.v6]) await listen(outside.sandbox, address);
    await listen(outside.sandbox, outside.v4, "udp");
    expect(seenFrom(sandbox, outside.v4)).toBe("saw 192.0.2.1");
    expect(seenFrom(sandbox, outside.v4, "udp")).toBe("saw 192.0.2.1");
    expect(seenFrom(sandbox, outside.v6)).toBe("saw 2001:db8::1");

    const plain = bench.attach(secondNetwork({ ipMasq: false }));
    expect(seenFrom(plain.sandbox, outside.v4)).toBe(`saw ${plain.v4}`);
    expect(seenFrom(plain.sandbox, outside.v6)).toBe(`saw ${plain.v6}`);
    expect([v4, v6]).toEqual(["10.91.0.2", "fd00:91::2"]);
  });

  it.each(["", "iptables", "nftables"])("is masqueraded by nf_tables with backend %j", async (ipMasqBackend) => {
    const { sandbox } = bench.attach(network({ ipMasqBackend }));
    await listen(outside.sandbox, outside.v4);
    expect(seenFrom(sandbox, outside.v4)).toBe("saw 192.0.2.1");
  });

  it.each(["0", "1"])(
    "to its own network and to the node keeps its address, where iptables see bridges: %s",
    async (callIptables) => {
      const [one, two] = [bench.attach(network()), bench.attach(network())];
      for (const family of ["iptables", "ip6tables"])
        writeFileSync(`/proc/sys/net/bridge/bridge-nf-call-${family}`, callIptables);
      for (const address of [two.v4, two.v6]) await listen(two.sandbox, address);
      for (const address of ["10.91.0.1", outside.node.v4, "fd00:91::1"])
        await serve((work) => work(), { protocol: "tcp", address, port: PORT, name: "node" });
      expect(seenFrom(one.sandbox, two.v4)).toBe(`saw ${one.v4}`);
      expect(seenFrom(one.sandbox, two.v6)).toBe(`saw ${one.v6}`);
      expect(seenFrom(one.sandbox, "10.91.0.1")).toBe(`node ${one.v4}`);
      expect(seenFrom(one.sandbox, outside.node.v4)).toBe(`node ${one.v4}`);
      expect(seenFrom(one.sandbox, "fd00:91::1")).toBe(`node ${one.v6}`);
    },
  );

  it("to everybody at once keeps its address", async () => {
    writeFileSync("/proc/sys/net/bridge/bridge-nf-call-iptables", "1");
    const [one, two] = [bench.attach(network()), bench.attach(network())];
    await listen(two.sandbox, "0.0.0.0", "udp");
    expect(seenFrom(one.sandbox, "224.0.0.1", "udp")).toBe(`saw ${one.v4}`); // the group in which every host is
  });

  it("to destinations that are excepted keeps its address, to others of their kind not", async () => {
    const nonMasqueradeCIDRs = ["10.92.0.2/32", "10.92.0.0/29", "192.0.2.128/25", "fd00:92::/64", "10.91.0.0/16"];
    const { sandbox, v4, v6 } = bench.attach(network({ nonMasqueradeCIDRs }));
    const other = bench.attach(secondNetwork());
    for (const address of [other.v4, other.v6]) await listen(other.sandbox, address);
    await listen(outside.sandbox, outside.v4);
    expect(seenFrom(sandbox, other.v4)).toBe(`saw ${v4}`);
    expect(seenFrom(sandbox, other.v6)).toBe(`saw ${v6}`);
    expect(seenFrom(sandbox, outside.v4)).toBe("saw 192.0.2.1");
    const back = bench.attach(secondNetwork());
    await listen(sandbox, v4);
    expect(seenFrom(back.sandbox, v4)).toBe("saw 10.91.0.1"); // net2 has no such exception
    for (const pair of [`${v4} . 10.91.0.0/16`, `${v4} . 10.92.0.0/29`, `${v4} . 192.0.2.128/25`])
      expect(elementsOf("inside4")).toContain(pair);
    expect(elementsOf("inside4")).not.toContain("10.92.0.2 comment"); // what another holds is not there twice
  });

  it("with kube-proxy's mark is left to kube-proxy", async () => {
    const { sandbox, v4 } = bench.attach(network());
    await listen(outside.sandbox, outside.v4);
    output("nft", "add table ip other; add chain ip other early { type filter hook prerouting priority -150; }");
    output("nft", "add rule ip other early meta mark set 0x14000");
    expect(seenFrom(sandbox, outside.v4)).toBe(`saw ${v4}`);
    output("nft", "flush chain ip other early; add rule ip other early meta mark set 0x10000");
    expect(seenFrom(sandbox, outside.v4)).toBe("saw 192.0.2.1");
  });
});

describe("several attachments", () => {
  it("of one container to two networks: removing one leaves the other", async () => {
    const first = bench.attach(v4Network({ isDefaultGateway: true, ipMasq: true }), { containerId: "both" });
    const second = bench.attach(secondNetwork({ isDefaultGateway: false, isGateway: true }), {
      containerId: "both",
      ifname: "eth1",
      sandbox: first.sandbox,
    });
    await listen(outside.sandbox, outside.v4);
    bench.detach(second);
    expect(elementsOf("masquerade4")).not.toContain(second.v4);
    expect(seenFrom(first.sandbox, outside.v4)).toBe("saw 192.0.2.1");
    bench.caller.succeed({ ...first.who, command: "CHECK" });
  });

  it("of one container to one network: removing one leaves the other", async () => {
    const first = bench.attach(network({ isDefaultGateway: false }), { containerId: "both" });
    const ifname = "eth1";
    const second = bench.attach(network(), { containerId: "both", ifname, sandbox: first.sandbox });
    await listen(outside.sandbox, outside.v4);
    bench.detach(first);
    expect(elementsOf("masquerade4")).not.toContain(first.v4);
    expect(seenFrom(second.sandbox, outside.v4)).toBe("saw 192.0.2.1");
    bench.caller.succeed({ ...second.who, command: "CHECK" });
  });

  it("of networks whose subnets overlap do not mind each other", () => {
    const range = (subnet: string, rangeStart: string) => ({ type: "host-local", ranges: [[{ subnet, rangeStart }]] });
    const small = bench.attach(network({ ipam: range("10.91.0.0/24", "10.91.0.10") }));
    const large = bench.attach(network({ name: "net2", bridge: "br2", ipam: range("10.91.0.0/16", "10.91.3.10") }));
    for (const { who } of [small, large]) bench.caller.succeed({ ...who, command: "CHECK" });
    bench.detach(large);
    bench.caller.succeed({ ...small.who, command: "CHECK" });
    expect(elementsOf("inside4")).not.toContain("10.91.0.0/16");
  });

  it("are as many elements and no more rules", () => {
    bench.attach(network({ macspoofchk: true }), { containerId: "first" });
    const rules = ruleCount();
    expect(rules).toBe(7);
    for (let i = 2; i <= 50; i++) bench.attach(network({ macspoofchk: true }), { containerId: `cid-${i}` });
    expect(ruleCount()).toBe(rules);
    expect(elementsOf("masquerade4").match(/comment "pl/g)).toHaveLength(50);
  });
});

describe("an address that somebody left behind", () => {
  it("goes over to its new owner, and neither DEL nor GC of the old one takes it away", async () => {
    const lost = bench.attach(network(), { containerId: "lost" });
    output("ip", "link", "del", lost.result.interfaces?.[1]?.name ?? "");
    rmSync("/var/lib/cni", { recursive: true });
    const heir = bench.attach(network(), { containerId: "heir" });
    expect(heir.v4).toBe(lost.v4);
    for (const set of ["masquerade4", "masquerade6", "inside4", "inside6"]) {
      expect(elementsOf(set)).toContain(" heir eth0");
      expect(elementsOf(set)).not.toContain(" lost eth0");
    }
    bench.detach(lost);
    bench.caller.succeed({ ...heir.who, command: "CHECK" });
    await listen(outside.sandbox, outside.v4);
    expect(seenFrom(heir.sandbox, outside.v4)).toBe("saw 192.0.2.1");
  });

  it("takes its pairs with it, also those that overlap the new ones", () => {
    const lost = bench.attach(network({ nonMasqueradeCIDRs: ["10.92.0.0/24", "10.93.0.0/24"] }), { containerId: "lost" });
    output("ip", "link", "del", lost.result.interfaces?.[1]?.name ?? "");
    rmSync("/var/lib/cni", { recursive: true });
    const heir = bench.attach(network({ nonMasqueradeCIDRs: ["10.0.0.0/8"] }), { containerId: "heir" });
    expect(heir.v4).toBe(lost.v4);
    expect(elementsOf("inside4")).toContain("10.91.0.2 . 10.0.0.0/8");
    expect(elementsOf("inside4")).not.toContain("/24");
    bench.caller.succeed({ ...heir.who, command: "CHECK" });
  });
});

describe("DEL", () => {
  const clean = (set: string) => expect(elementsOf(set)).not.toContain("elements");

  it.each<[title: string, more: (attached: Attached) => Json]>([
    [
      "namespace, result or addresses",
      ({ who: { config } }) => ({ env: { CNI_NETNS: "" }, config: { ...(config as Json), prevResult: undefined } }),
    ],
    ["keys as they were", ({ who: { config } }) => ({ config: { ...(config as Json), ipMasq: false, macspoofchk: false } })],
  ])("needs no %s", (_title, more) => {
    const attached = bench.attach(network({ macspoofchk: true }));
    bench.caller.succeed({ ...attached.who, ...more(attached), command: "DEL" });
    for (const set of ["masquerade4", "masquerade6", "inside4", "inside6"]) clean(set);
    expect(output("nft", "list", "table", "bridge", "podlink")).not.toContain("elements");
  });

  it("and the next ADD do not mind that somebody flushed the ruleset", async () => {
    const [one, two] = [bench.attach(network({ macspoofchk: true })), bench.attach(network())];
    output("nft", "flush", "ruleset");
    bench.detach(one);
    expect(ruleset()).toBe("");
    const { sandbox } = bench.attach(network());
    await listen(outside.sandbox, outside.v4);
    expect(seenFrom(sandbox, outside.v4)).toBe("saw 192.0.2.1");
    bench.detach(two);
  });

  it("changes nothing of nf_tables where there is nothing of ours", () => {
    output("nft", "add table inet other; add chain inet other c");
    const attached = bench.attach(network({ ipMasq: false }));
    const { steps } = bench.caller.succeed({ ...attached.who, command: "DEL" });
    expect(steps.filter((step) => step.startsWith("nft"))).toEqual([]);
    expect(ruleset()).toContain("table inet other");
  });
});

describe("an ADD that fails at its last change", () => {
  class Failing extends Steps {
    override run<T>(command: string, change: () => T): T {
      if (/ alias 'podlink net1 /.test(command)) throw new Error("no more");
      return super.run(command, change);
    }
  }

  it("takes back what it had in nf_tables", () => {
    const sandbox = makeSandbox();
    const config = network({ macspoofchk: true });
    bench.caller.fail({ type: "bridge", command: "ADD", config, netns: sandbox.path, steps: new Failing() });
    expect(ruleset()).toContain("masquerade fully-random");
    expect(ruleset()).not.toContain("net1");
  });
});

describe("GC", () => {
  it("removes what belongs to attachments of its network that are gone", () => {
    const config = network({ macspoofchk: true });
    const kept = bench.attach(config, { containerId: "kept" });
    bench.attach(config, { containerId: "stale" });
    const other = bench.attach(secondNetwork({ macspoofchk: true }), { containerId: "other" });
    const valid = [{ containerID: "kept", ifname: "eth0" }];
    bench.caller.succeed({ type: "bridge", command: "GC", config: { ...config, "cni.dev/valid-attachments": valid } });
    expect(ruleset()).not.toContain("stale");
    for (const { who } of [kept, other]) bench.caller.succeed({ ...who, command: "CHECK" });
  });

  it("leaves alone what has only the network's hash in common", () => {
    bench.attach(network(), { containerId: "stranger" });
    const owner = hostLinkName({ network: "net1", containerId: "stranger", ifname: "eth0" });
    const words = `${networkLinkPrefix("net1")}aaaaaaaa net9 elsewhere eth0`;
    output("nft", `add element inet podlink masquerade4 { 10.9.9.9 comment "${words}" }`);
    bench.caller.succeed({ type: "bridge", command: "GC", config: { ...network(), "cni.dev/valid-attachments": [] } });
    expect(elementsOf("masquerade4")).toContain(words);
    expect(elementsOf("masquerade4")).not.toContain(owner);
  });
});

describe("CHECK names", () => {
  it.each<[what: string, damage: string, words: string[]]>([
    [
      "a table that is gone",
      "delete table inet podlink",
      ['chain "inet podlink masquerading": it does not exist', "find 10.91.0.2 in"],
    ],
    [
      "an element that is gone",
      "delete element inet podlink masquerade4 { 10.91.0.2 }",
      ['find 10.91.0.2 in set "inet podlink masquerade4"'],
    ],
    [
      "a pair that is gone",
      "flush set inet podlink inside6",
      ['find fd00:91::2 . fd00:91::/64 in set "inet podlink inside6": it is not there'],
    ],
    [
      "an element of somebody else",
      'delete element inet podlink masquerade4 { 10.91.0.2 }; add element inet podlink masquerade4 { 10.91.0.2 comment "mine" }',
      ['it belongs to "mine"'],
    ],
    ["rules that are gone", "flush chain inet podlink masquerading", ['it lacks the rule "kube-proxy masquerades']],
    ["a rule too many", "add rule inet podlink masquerading counter", ["it has 7 rules, expected 6"]],
  ])("%s", (_what, damage, words) => {
    const { who } = bench.attach(network());
    bench.caller.succeed({ ...who, command: "CHECK" });
    output("nft", damage);
    const { code, msg } = bench.caller.fail({ ...who, command: "CHECK" });
    expect(code).toBe(999);
    for (const word of words) expect(msg).toContain(word);
  });
});

describe("STATUS", () => {
  it("asks the kernel, and changes nothing", () => {
    bench.caller.succeed({ type: "bridge", command: "STATUS", config: network({ macspoofchk: true }) });
    expect(ruleset()).toBe("");
  });

  it.each([
    ["ipMasq", "inet podlink masquerade4"],
    ["macspoofchk", "bridge podlink spoof_checked"],
  ])("says with code 50 that %s would fail, and why", (key, set) => {
    output("nft", `add table ${set.replace(/ \w+$/, "")}; add set ${set} { type inet_service; }`);
    const { code, msg } = bench.caller.fail({ type: "bridge", command: "STATUS", config: network({ [key]: true }) });
    expect(code).toBe(50);
    expect(msg).toContain(`Cannot do what "${key}" asks for: nft add set ${set}`);
  });
});

describe("the ruleset", () => {
  it("of one attachment is this", () => {
    bench.attach(network({ nonMasqueradeCIDRs: ["10.92.0.0/16"] }));
    const owner = `${hostLinkName({ network: "net1", containerId: "cid-1", ifname: "eth0" })} net1 cid-1 eth0`;
    expect(ruleset().replaceAll("\t", "  ").replaceAll(owner, "OWNER")).toBe(`table inet podlink {
  comment "made by podlink; it makes again what is missing"
  set masquerade4 {
    type ipv4_addr
    elements = { 10.91.0.2 comment "OWNER" }
  }

  set masquerade6 {
    type ipv6_addr
    elements = { fd00:91::2 comment "OWNER" }
  }

  set inside4 {
    type ipv4_addr . ipv4_addr
    flags interval
    elements = { 10.91.0.2 . 10.91.0.0/24 comment "OWNER",
           10.91.0.2 . 10.92.0.0/16 comment "OWNER" }
  }

  set inside6 {
    type ipv6_addr . ipv6_addr
    flags interval
    elements = { fd00:91::2 . fd00:91::/64 comment "OWNER" }
  }

  chain masquerading {
    type nat hook postrouting priority srcnat; policy accept;
    meta mark & 0x00004000 == 0x00004000 return comment "kube-proxy masquerades what it has marked"
    fib daddr type { local, broadcast, multicast } return comment "to the node itself, and to many at once"
    ip saddr . ip daddr @inside4 return comment "inside a network"
    ip6 saddr . ip6 daddr @inside6 return comment "inside a network, IPv6"
    ip saddr @masquerade4 masquerade fully-random comment "from containers to the outside"
    ip6 saddr @masquerade6 masquerade fully-random comment "from containers to the outside, IPv6"
  }
}
`);
  });

  it("is without any where there are no addresses to masquerade", () => {
    bench.attach(l2Network({ ipMasq: true }));
    expect(ruleset()).toBe("");
  });
});

describe("what the reference made", () => {
  const digest = (text: string) => createHash("sha512").update(text).digest("hex").slice(0, 16);
  const commentOf = (network: string, id: string) =>
    `${digest(network)}-${digest(`eth0:${id}`)}, net: ${network}, if: eth0, id: ${id}`;

  /** As the reference's bridge does with its nftables backend and macspoofchk. */
  function asTheReference(network: string, id: string, address: string): void {
    output("nft", "add table inet cni_plugins_masquerade; add chain inet cni_plugins_masquerade masq_checks");
    const masq = `ip saddr == ${address} ip daddr != 10.91.0.0/24 masquerade comment "${commentOf(network, id)}"`;
    output("nft", `add rule inet cni_plugins_masquerade masq_checks ${masq}`);
    const [chain, comment] = [`cni-br-iface-${id}-eth0`, `comment "macspoofchk-${id}-eth0"`];
    output("nft", `add table bridge nat; add chain bridge nat PREROUTING { type filter hook prerouting priority -300; }`);
    output("nft", `add chain bridge nat ${chain}; add chain bridge nat ${chain}-mac`);
    output("nft", `add rule bridge nat PREROUTING iifname "veth${id}" jump ${chain} ${comment}`);
    output("nft", `add rule bridge nat ${chain} jump ${chain}-mac ${comment}`);
    output("nft", `add rule bridge nat ${chain}-mac ether saddr 02:00:00:00:00:01 return ${comment}`);
    output("nft", `add rule bridge nat ${chain}-mac drop ${comment}`);
  }

  it("for an attachment goes with its DEL, and the others' stays", () => {
    asTheReference("net1", "one", "10.91.0.2");
    asTheReference("net2", "two", "10.91.0.3");
    const both = ruleset();
    bench.caller.succeed({ type: "bridge", command: "DEL", config: network(), containerId: "one" });
    expect(ruleset()).not.toMatch(/\bone\b|10\.91\.0\.2\b/);
    expect(ruleset().match(/two/g)).toHaveLength(both.match(/two/g)?.length ?? 0);
    bench.caller.succeed({ type: "bridge", command: "DEL", config: network(), containerId: "one" });
  });
});
