import { beforeEach, describe, expect, it } from "vitest";
import { networkLinkPrefix } from "../../src/link/names.ts";
import { Bench } from "../support/attach.ts";
import { attachGuarded, detachGuarded, type Guarded, numberedNetwork } from "../support/guarded.ts";
import { becomeHost } from "../support/namespaces.ts";
import { ipJson, output } from "../support/node.ts";
import { makeOutside, type Outside } from "../support/outside.ts";

// Containers on a host whose firewall drops what it forwards: real packets through somebody else's chains.

const bench = new Bench();
let outside: Outside;
beforeEach(() => {
  outside = makeOutside();
  // Neighbours of what is forwarded are asked from link-local addresses, which a new link has a second later by itself
  output("ip", "address", "add", "fe80::1/64", "dev", "uplink", "nodad");
  outside.sandbox.ip("address", "add", "fe80::9/64", "dev", "eth0", "nodad");
});

const SILENCE = { timeoutMs: 200 };

const attach = (number: number, more = {}) => attachGuarded(bench, numberedNetwork(number), more);

const tools = { 4: "iptables", 6: "ip6tables" } as const;
const rulesOf = (tool: string): string[] => output(tool, "-S", "FORWARD").trim().split("\n");

/** Whether a program is there and works with this kernel. Leaves this process in an empty network namespace. */
function works(...command: [string, ...string[]]): boolean {
  becomeHost();
  try {
    return output(...command) !== undefined;
  } catch {
    return false;
  }
}

const hasIptables = works("iptables-nft", "-P", "FORWARD", "DROP");
const hasLegacy = works("iptables-legacy", "-P", "FORWARD", "DROP") && works("ip6tables-legacy", "-P", "FORWARD", "DROP");

function dropForwarded(...programs: readonly string[]): void {
  for (const program of programs) output(program, "-P", "FORWARD", "DROP");
}

function expectForwarded({ sandbox, v4, v6 }: Guarded): void {
  for (const address of [outside.v4, outside.v6]) expect(sandbox.ping(address), address).toBe(true);
  for (const address of [v4, v6]) expect(outside.sandbox.ping(address, SILENCE), `new connection to ${address}`).toBe(false);
}

function expectDropped({ sandbox }: Guarded): void {
  for (const address of [outside.v4, outside.v6]) expect(sandbox.ping(address, SILENCE)).toBe(false);
}

describe.skipIf(!hasIptables)("where iptables-nft drops by policy (needs the package iptables)", () => {
  it("traffic of the bridge and the answers to it pass, by rules that iptables reads, until the last DEL", () => {
    dropForwarded("iptables", "ip6tables");
    output("iptables", "-A", "FORWARD", "-i", "other0", "-j", "ACCEPT");
    const own = rulesOf("iptables");
    const one = attach(1);
    expectForwarded(one);
    const rules = [
      '-A FORWARD -i br1 -m comment --comment "podlink: from br1 (net1)" -j ACCEPT',
      '-A FORWARD -o br1 -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment "podlink: replies to br1 (net1)" -j ACCEPT',
      '-A FORWARD -o br1 -m conntrack --ctstate DNAT -m comment --comment "podlink: translated to br1 (net1)" -j ACCEPT',
    ];
    expect(rulesOf("iptables")).toEqual(["-P FORWARD DROP", ...rules, "-A FORWARD -i other0 -j ACCEPT"]);
    expect(rulesOf("ip6tables")).toEqual(["-P FORWARD DROP", ...rules]);

    const two = attach(1);
    expectForwarded(two);
    expect(rulesOf("ip6tables")).toEqual(["-P FORWARD DROP", ...rules]);
    detachGuarded(bench, one);
    expectForwarded(two);
    bench.caller.succeed({ ...two.firewall, command: "DEL" });
    expectDropped(two);
    expect(rulesOf("iptables")).toEqual(own);
    expect(rulesOf("ip6tables")).toEqual(["-P FORWARD DROP"]);
  });

  it("rules are the bytes that iptables itself writes", () => {
    const listing = (): string[] => {
      const text = output("nft", "--debug=netlink", "list", "chain", "ip", "filter", "FORWARD");
      return text.split("\n").filter((line) => line.startsWith("  ["));
    };
    dropForwarded("iptables");
    attach(1);
    const ours = { rules: rulesOf("iptables"), listing: listing(), saved: output("iptables-save", "-t", "filter") };
    output("iptables", "-F", "FORWARD");
    for (const rule of ours.rules.slice(1)) output("sh", "-c", `iptables ${rule}`);
    expect(listing()).toEqual(ours.listing);
    expect(output("iptables-save", "-t", "filter").replace(/^#.*/gm, "")).toBe(ours.saved.replace(/^#.*/gm, ""));
  });

  it("rules that iptables has written anew are still known", () => {
    dropForwarded("iptables", "ip6tables");
    const one = attach(1);
    output("sh", "-c", "iptables-save | iptables-restore");
    const before = rulesOf("iptables");
    const two = attach(1);
    expect(rulesOf("iptables")).toEqual(before);
    for (const each of [one, two]) detachGuarded(bench, each);
    expect(rulesOf("iptables")).toEqual(["-P FORWARD DROP"]);
  });

  it("each network has its own, and only for the families of its addresses", () => {
    dropForwarded("iptables", "ip6tables");
    const ipam = { type: "host-local", ranges: [[{ subnet: "10.93.0.0/24" }]] };
    const [one, two] = [attach(1), attach(2)];
    const three = attachGuarded(bench, numberedNetwork(3, { ipam }));
    expect(rulesOf("iptables").filter((rule) => rule.includes("podlink"))).toHaveLength(9);
    expect(rulesOf("ip6tables").filter((rule) => rule.includes("podlink"))).toHaveLength(6);
    detachGuarded(bench, one);
    expectForwarded(two);
    expect(three.sandbox.ping(outside.v4)).toBe(true);
    expect(rulesOf("iptables").join()).not.toContain("br1");
    for (const each of [two, three]) detachGuarded(bench, each);
    for (const tool of Object.values(tools)) expect(rulesOf(tool)).toEqual(["-P FORWARD DROP"]);
  });

  it("links on no bridge share them, by the start of their names", () => {
    dropForwarded("iptables");
    const prefix = networkLinkPrefix("net1");
    const routed = [1, 2].map(() => {
      const attached = attach(1);
      const [port] = ipJson<{ ifname: string }>("link", "show", "master", "br1");
      output("ip", "link", "set", port?.ifname ?? "", "nomaster");
      bench.caller.succeed({ ...attached.firewall, command: "ADD" });
      bench.caller.succeed({ ...attached.firewall, command: "CHECK" });
      return attached;
    });
    expect(rulesOf("iptables")).toEqual([
      "-P FORWARD DROP",
      `-A FORWARD -i ${prefix}+ -m comment --comment "podlink: from ${prefix}* (net1)" -j ACCEPT`,
      expect.stringContaining(`-A FORWARD -o ${prefix}+ -m conntrack --ctstate RELATED,ESTABLISHED`),
      expect.stringContaining(`-A FORWARD -o ${prefix}+ -m conntrack --ctstate DNAT`),
    ]);
    for (const each of routed) detachGuarded(bench, each);
    expect(rulesOf("iptables")).toEqual(["-P FORWARD DROP"]);
  });

  it("a policy that came later is seen by CHECK, and opened by the next ADD", () => {
    const one = attach(1);
    bench.caller.succeed({ ...one.firewall, command: "CHECK" });
    dropForwarded("iptables", "ip6tables");
    expectDropped(one);
    const { msg } = bench.caller.fail({ ...one.firewall, command: "CHECK" });
    expect(msg).toContain('"ip filter FORWARD"');
    expect(msg).toContain('"ip6 filter FORWARD"');
    const two = attach(1);
    expectForwarded(one);
    bench.caller.succeed({ ...one.firewall, command: "CHECK" });
    for (const tool of Object.values(tools)) output(tool, "-P", "FORWARD", "ACCEPT");
    for (const each of [one, two]) detachGuarded(bench, each);
    for (const tool of Object.values(tools)) expect(rulesOf(tool)).toEqual(["-P FORWARD ACCEPT"]);
  });

  it("what of them was deleted is made again", () => {
    dropForwarded("iptables", "ip6tables");
    const one = attach(1);
    const whole = rulesOf("iptables");
    for (const which of ["1", "2", "3"]) {
      output("iptables", "-D", "FORWARD", which);
      expect(bench.caller.fail({ ...one.firewall, command: "CHECK" }).msg).toContain("ip filter FORWARD");
      bench.caller.succeed({ ...one.firewall, command: "ADD" });
      expect(rulesOf("iptables").sort()).toEqual([...whole].sort());
    }
  });

  it.each(["nft flush ruleset", "nft delete table inet podlink"])("%s between ADD and DEL breaks neither", (command) => {
    dropForwarded("iptables", "ip6tables");
    const one = attach(1);
    output("sh", "-c", command);
    detachGuarded(bench, one);
    dropForwarded("iptables", "ip6tables");
    const two = attach(1);
    expectForwarded(two);
    const rules = rulesOf("iptables");
    expect(rules).toHaveLength(4);
    detachGuarded(bench, two);
    expect(rulesOf("iptables")).toEqual(["-P FORWARD DROP"]);
  });

  it("GC closes what belongs to no attachment of the network, though our own table be lost, and nobody else's", () => {
    dropForwarded("iptables", "ip6tables");
    const [one, two] = [attach(1), attach(2)];
    const gc = (valid: string[]) => {
      const attachments = valid.map((containerID) => ({ containerID, ifname: "eth0" }));
      const config = { cniVersion: "1.1.0", name: "net1", type: "firewall", "cni.dev/valid-attachments": attachments };
      bench.caller.succeed({ type: "firewall", command: "GC", config });
      return rulesOf("iptables").filter((rule) => rule.includes("-i br")).length;
    };
    expect(gc([one.who.containerId ?? ""])).toBe(2);
    expect(gc([])).toBe(1);
    bench.caller.succeed({ ...one.firewall, command: "ADD" });
    output("nft", "delete", "table", "inet", "podlink");
    expect(gc([one.who.containerId ?? ""])).toBe(2);
    expect(gc([])).toBe(1);
    expectForwarded(two);
  });
});

it("a chain that nft made and that drops by policy is opened in nft's own words, and closed again", () => {
  const chain = ["chain", "inet", "filter", "forward"] as const;
  output("nft", "table inet filter { chain forward { type filter hook forward priority filter; policy drop; counter; }; }");
  const before = output("nft", "list", ...chain).replace(/packets \d+ bytes \d+/g, "");
  const one = attach(1);
  expectForwarded(one);
  const rules = output("nft", "list", ...chain).replace(/packets \d+ bytes \d+/g, "N");
  expect(
    rules
      .split("\n")
      .slice(3, 7)
      .map((line) => line.trim()),
  ).toEqual([
    'iifname "br1" counter N accept comment "podlink: from br1 (net1)"',
    'oifname "br1" ct state established,related counter N accept comment "podlink: replies to br1 (net1)"',
    'oifname "br1" ct status dnat counter N accept comment "podlink: translated to br1 (net1)"',
    "counter N",
  ]);
  bench.caller.succeed({ ...one.firewall, command: "DEL" });
  expect(output("nft", "list", ...chain).replace(/packets \d+ bytes \d+/g, "")).toBe(before);
  expectDropped(one);
});

it("chains that drop nothing by policy, of other hooks or of our own are left as they are", () => {
  const ruleset = `
    table inet a { chain forward { type filter hook forward priority 0; policy accept; }; }
    table inet b { chain input { type filter hook input priority 0; policy drop; }; }
    table ip c { chain FORWARD { tcp dport 1-2 drop; }; }`;
  output("nft", ruleset);
  const before = output("nft", "list", "ruleset");
  const one = attach(1);
  for (const table of [
    ["inet", "a"],
    ["inet", "b"],
    ["ip", "c"],
  ])
    expect(before).toContain(output("nft", "list", "table", ...table).trim());
  detachGuarded(bench, one);
});

describe("what podlink cannot open", () => {
  const status = (): string => {
    const config = { cniVersion: "1.1.0", name: "net1", type: "firewall" };
    return bench.caller.succeed({ type: "firewall", command: "STATUS", config }).stderr;
  };

  it.skipIf(!hasLegacy)(
    "in x_tables is told with the command that does (needs iptables-legacy and its tables in the kernel)",
    () => {
      output("iptables-legacy", "-S");
      expect(attach(1).stderr).toBe("");
      dropForwarded("iptables-legacy", "ip6tables-legacy");
      const one = attach(1);
      expectDropped(one);
      const commands = [...one.stderr.matchAll(/to open it: (.*)/g)].map(([, command]) => command ?? "");
      expect(commands).toHaveLength(2);
      expect(commands[0]).toContain("iptables-legacy -I FORWARD -i br1 -j ACCEPT");
      expect(status()).toBe(one.stderr);
      for (const command of commands) output("sh", "-c", command);
      expectForwarded(one);
      expect(attach(1).stderr).toBe("");
      expect(status()).toBe("");
    },
  );

  it("in firewalld is told with the command that does", () => {
    expect(status()).toBe("");
    output(
      "nft",
      "table inet firewalld { chain filter_FORWARD { type filter hook forward priority 10; reject with icmpx admin-prohibited; }; }",
    );
    const { stderr } = attach(1);
    expect(stderr).toContain("firewall-cmd --permanent --zone=trusted --add-interface=br1");
    expect(status()).toBe(stderr);
    output("nft", 'insert rule inet firewalld filter_FORWARD iifname "br1" accept');
    expect(attach(1).stderr).toBe("");
    expect(status()).toBe("");
  });
});
