import { createHash } from "node:crypto";
import { rmSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { hostLinkName, nameHash, networkLinkPrefix } from "../../src/link/names.ts";
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
const valid = "cni.dev/valid-attachments";
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
const elementsOf = (map: string): string => output("nft", "list", "map", "inet", "podlink", map);
const MAPS = ["masqueraded4", "masqueraded6", "masquerade_owners"];
/** The rules to which an address of a container is led. */
function rulesFor(address: string): string {
  const chain = new RegExp(`${address} comment "[^"]*" : jump (\\w+)`).exec(ruleset())?.[1] ?? "nowhere";
  return output("nft", "list", "chain", "inet", "podlink", chain);
}

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
    // What another holds is not there twice
    expect(rulesFor(v4)).toContain("ip daddr { 10.91.0.0/16, 10.92.0.0/29, 192.0.2.128/25 } return");
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
    expect(elementsOf("masqueraded4")).not.toContain(second.v4);
    expect(seenFrom(first.sandbox, outside.v4)).toBe("saw 192.0.2.1");
    bench.caller.succeed({ ...first.who, command: "CHECK" });
  });

  it("of one container to one network: removing one leaves the other", async () => {
    const first = bench.attach(network({ isDefaultGateway: false }), { containerId: "both" });
    const ifname = "eth1";
    const second = bench.attach(network(), { containerId: "both", ifname, sandbox: first.sandbox });
    await listen(outside.sandbox, outside.v4);
    bench.detach(first);
    expect(elementsOf("masqueraded4")).not.toContain(first.v4);
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
    expect(rulesFor(small.v4)).toContain("ip daddr 10.91.0.0/24 return");
    bench.caller.succeed({ type: "bridge", command: "GC", config: { ...network({ name: "net2" }), [valid]: [] } });
    expect(ruleset()).not.toContain("10.91.0.0/16"); // a chain stays for whoever is next, until GC finds it without use
    bench.caller.succeed({ ...small.who, command: "CHECK" });
  });

  it("are as many elements and no more rules", () => {
    bench.attach(network({ macspoofchk: true }), { containerId: "first" });
    const rules = ruleCount();
    expect(rules).toBe(9);
    for (let i = 2; i <= 50; i++) bench.attach(network({ macspoofchk: true }), { containerId: `cid-${i}` });
    expect(ruleCount()).toBe(rules);
    expect(elementsOf("masqueraded4").match(/comment "pl/g)).toHaveLength(50);
  });
});

describe("an address that somebody left behind", () => {
  it("goes over to its new owner, and neither DEL nor GC of the old one takes it away", async () => {
    const lost = bench.attach(network(), { containerId: "lost" });
    output("ip", "link", "del", lost.result.interfaces?.[1]?.name ?? "");
    rmSync("/var/lib/cni", { recursive: true });
    const heir = bench.attach(network(), { containerId: "heir" });
    expect(heir.v4).toBe(lost.v4);
    for (const map of ["masqueraded4", "masqueraded6"]) {
      expect(elementsOf(map)).toContain(" heir eth0");
      expect(elementsOf(map)).not.toContain(" lost eth0");
    }
    bench.detach(lost);
    expect(ruleset()).not.toContain(" lost eth0");
    bench.caller.succeed({ ...heir.who, command: "CHECK" });
    await listen(outside.sandbox, outside.v4);
    expect(seenFrom(heir.sandbox, outside.v4)).toBe("saw 192.0.2.1");
  });

  it("is led to what the new owner wants", () => {
    const lost = bench.attach(network({ nonMasqueradeCIDRs: ["10.92.0.0/24", "10.93.0.0/24"] }), { containerId: "lost" });
    output("ip", "link", "del", lost.result.interfaces?.[1]?.name ?? "");
    rmSync("/var/lib/cni", { recursive: true });
    const heir = bench.attach(network({ nonMasqueradeCIDRs: ["10.0.0.0/8"] }), { containerId: "heir" });
    expect(heir.v4).toBe(lost.v4);
    expect(rulesFor(heir.v4)).toContain("ip daddr 10.0.0.0/8 return");
    bench.caller.succeed({ ...heir.who, command: "CHECK" });
  });
});

describe("DEL", () => {
  const clean = (map: string) => expect(elementsOf(map)).not.toContain("elements");

  it.each<[title: string, more: (attached: Attached) => Json]>([
    [
      "namespace, result or addresses",
      ({ who: { config } }) => ({ env: { CNI_NETNS: "" }, config: { ...(config as Json), prevResult: undefined } }),
    ],
    ["keys as they were", ({ who: { config } }) => ({ config: { ...(config as Json), ipMasq: false, macspoofchk: false } })],
  ])("needs no %s", (_title, more) => {
    const attached = bench.attach(network({ macspoofchk: true }));
    bench.caller.succeed({ ...attached.who, ...more(attached), command: "DEL" });
    for (const map of MAPS) clean(map);
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
    output("nft", `add element inet podlink masqueraded4 { 10.9.9.9 comment "${words}" : accept }`);
    bench.caller.succeed({ type: "bridge", command: "GC", config: { ...network(), "cni.dev/valid-attachments": [] } });
    expect(elementsOf("masqueraded4")).toContain(words);
    expect(elementsOf("masqueraded4")).not.toContain(owner);
  });
});

describe("CHECK names", () => {
  const owner = hostLinkName({ network: "net1", containerId: "cid-1", ifname: "eth0" });
  const outside6 = `outside_${nameHash("fd00:91::/64")}`;

  it.each<[what: string, damage: string, words: string[]]>([
    [
      "a table that is gone",
      "delete table inet podlink",
      ['chain "inet podlink masquerading": it does not exist', "find 10.91.0.2 in", "find whose fd00:91::2 is"],
    ],
    [
      "an element that is gone",
      "delete element inet podlink masqueraded4 { 10.91.0.2 }",
      ['find 10.91.0.2 in map "inet podlink masqueraded4": it is not there'],
    ],
    [
      "an owner that is gone",
      "flush map inet podlink masquerade_owners",
      [`find whose 10.91.0.2 is: map "inet podlink masquerade_owners" does not have it for ${owner}`],
    ],
    [
      "an element of somebody else",
      `delete element inet podlink masqueraded4 { 10.91.0.2 }
       add element inet podlink masqueraded4 { 10.91.0.2 comment "mine" : accept }`,
      ['it belongs to "mine"'],
    ],
    [
      "an element that leads elsewhere",
      `delete element inet podlink masqueraded4 { 10.91.0.2 }
       add element inet podlink masqueraded4 { 10.91.0.2 comment "${owner} net1 cid-1 eth0" : return }`,
      ['it leads to chain "", expected "outside_'],
    ],
    ["rules that are gone", "flush chain inet podlink masquerading", ['it lacks the rule "kube-proxy masquerades']],
    ["a rule too many", "add rule inet podlink masquerading counter", ["it has 5 rules, expected 4"]],
    [
      "destinations that are gone",
      `flush map inet podlink masqueraded6; flush chain inet podlink ${outside6}`,
      [`chain "inet podlink ${outside6}": it lacks the rule "inside: fd00:91::/64", "from containers to the outside"`],
    ],
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
    ["ipMasq", "map", "inet podlink masqueraded4"],
    ["macspoofchk", "set", "bridge podlink spoof_checked"],
  ])("says with code 50 that %s would fail, and why", (key, kind, set) => {
    output("nft", `add table ${set.replace(/ \w+$/, "")}; add set ${set} { type inet_service; }`);
    const { code, msg } = bench.caller.fail({ type: "bridge", command: "STATUS", config: network({ [key]: true }) });
    expect(code).toBe(50);
    expect(msg).toContain(`Cannot do what "${key}" asks for: nft add ${kind} ${set}`);
  });
});

describe("the ruleset", () => {
  it("of one attachment is this", () => {
    bench.attach(network({ nonMasqueradeCIDRs: ["10.92.0.0/16"] }));
    const link = hostLinkName({ network: "net1", containerId: "cid-1", ifname: "eth0" });
    expect(
      ruleset().replaceAll("\t", "  ").replaceAll(`${link} net1 cid-1 eth0`, "OWNER").replaceAll(link, "LINK"),
    ).toBe(`table inet podlink {
  comment "made by podlink; it makes again what is missing"
  map masqueraded4 {
    type ipv4_addr : verdict
    elements = { 10.91.0.2 comment "OWNER" : jump outside_fnq4qg6d }
  }

  map masqueraded6 {
    type ipv6_addr : verdict
    elements = { fd00:91::2 comment "OWNER" : jump outside_uxmzti6e }
  }

  map masquerade_owners {
    type ifname . inet_service : ipv6_addr . inet_service
    comment "attachments, and which addresses of theirs are masqueraded"
    elements = { "LINK" . 0 comment "OWNER" : ::ffff:10.91.0.2 . 2,
           "LINK" . 1 comment "OWNER" : fd00:91::2 . 2 }
  }

  chain masquerading {
    type nat hook postrouting priority srcnat; policy accept;
    meta mark & 0x00004000 == 0x00004000 return comment "kube-proxy masquerades what it has marked"
    fib daddr type { local, broadcast, multicast } return comment "to the node itself, and to many at once"
    ip saddr vmap @masqueraded4 comment "from containers"
    ip6 saddr vmap @masqueraded6 comment "from containers, IPv6"
  }

  chain outside_fnq4qg6d {
    ip daddr { 10.91.0.0/24, 10.92.0.0/16 } return comment "inside: 10.91.0.0/24, 10.92.0.0/16"
    masquerade fully-random comment "from containers to the outside"
  }

  chain outside_uxmzti6e {
    ip6 daddr fd00:91::/64 return comment "inside: fd00:91::/64"
    masquerade fully-random comment "from containers to the outside"
  }
}
`);
  });

  it("is taken by nft as nft prints it", () => {
    bench.attach(network({ nonMasqueradeCIDRs: ["10.92.0.0/16"] }));
    const made = ruleset();
    output("nft", `flush ruleset\n${made}`);
    expect(ruleset()).toBe(made);
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
