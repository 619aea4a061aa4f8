import { describe, expect, it } from "vitest";
import { hostLinkName } from "../../src/link/names.ts";
import { type Attached, Bench, bridgeNetwork, l2Network, v4Network } from "../support/attach.ts";
import { FrameSocket } from "../support/frames.ts";
import { output } from "../support/node.ts";

// Which frames of a container pass its bridge, by their sender's MAC address: real frames between real ports.

const bench = new Bench();

/** How long to wait for what shall not come; what comes takes a thousandth of it. */
const SILENCE_MS = 300;
const SPOOFED = "02:00:00:00:00:66";

const checked = l2Network({ macspoofchk: true });
const macOf = ({ result }: Attached): string => result.interfaces?.[2]?.mac ?? "";
const listTable = (): string => output("nft", "list", "table", "bridge", "podlink");

/** Whether a frame from `from` under this MAC address (its own unless given) comes to `to`. */
function passes(from: Attached, to: Attached, options: { mac?: string; ifname?: string } = {}): boolean {
  const { ifname = "eth0", mac } = options;
  const [sender, receiver] = [new FrameSocket(from.sandbox, ifname), new FrameSocket(to.sandbox, "eth0")];
  sender.send("hello", { to: macOf(to), ...(mac === undefined ? {} : { from: mac }) });
  return receiver.receive(mac === undefined ? 2000 : SILENCE_MS) === "hello";
}

describe("a container that is checked", () => {
  it("sends under its own MAC address and under no other", () => {
    const [one, two] = [bench.attach(checked), bench.attach(checked)];
    expect(passes(one, two)).toBe(true);
    expect(passes(one, two, { mac: SPOOFED })).toBe(false);
    expect(passes(one, two, { mac: macOf(two) })).toBe(false);
    expect(passes(one, two)).toBe(true);
  });

  it("does not teach the bridge that another's MAC address is behind its port", () => {
    const [one, two, three] = [bench.attach(checked), bench.attach(l2Network()), bench.attach(l2Network())];
    passes(two, three);
    passes(one, three, { mac: macOf(two) });
    const entries: { mac: string; ifname: string }[] = JSON.parse(output("bridge", "-json", "fdb", "show", "br", "br1"));
    const learned = entries.filter(({ mac }) => mac === macOf(two)).map(({ ifname }) => ifname);
    expect(learned.length).toBeGreaterThan(0);
    expect(new Set(learned)).toEqual(new Set([two.result.interfaces?.[1]?.name]));
  });

  it("may send as anybody again where the key is not set, and a neighbour's check does not change that", () => {
    const [free, other] = [bench.attach(l2Network()), bench.attach(checked)];
    expect(passes(free, other, { mac: SPOOFED })).toBe(true);
  });

  it("keeps the MAC address that was asked for", () => {
    const mac = "02:00:00:00:00:11";
    const one = bench.attach(l2Network({ macspoofchk: true, runtimeConfig: { mac } }));
    const two = bench.attach(checked);
    expect(macOf(one)).toBe(mac);
    expect(passes(one, two)).toBe(true);
  });

  it("has its addresses, in both families, also where the bridge is a gateway", () => {
    const config = bridgeNetwork({ macspoofchk: true, isDefaultGateway: true });
    const [one, two] = [bench.attach(config), bench.attach(config)];
    for (const address of [two.v4, two.v6, "10.91.0.1", "fd00:91::1"]) expect(one.sandbox.ping(address)).toBe(true);
    expect(passes(one, two, { mac: SPOOFED })).toBe(false);
  });
});

describe("several attachments", () => {
  it("of one container: removing one leaves the other checked", () => {
    const first = bench.attach(v4Network({ macspoofchk: true }), { containerId: "both" });
    const ifname = "eth1";
    const second = bench.attach(l2Network({ macspoofchk: true }), { containerId: "both", ifname, sandbox: first.sandbox });
    const target = bench.attach(l2Network());
    bench.detach(first);
    expect(passes(second, target, { ifname })).toBe(true);
    expect(passes(second, target, { ifname, mac: SPOOFED })).toBe(false);
    expect(listTable().match(/ both /g)).toHaveLength(2);
    bench.caller.succeed({ ...second.who, command: "CHECK" });
  });

  it("are changed by their keys: a call's work is the same for the last as for the first", () => {
    const steps = Array.from({ length: 20 }, (_, at) => bench.attach(checked, { containerId: `cid-${at + 10}` }))
      .map(({ who }) => bench.caller.succeed({ ...who, command: "DEL" }).steps.filter((step) => step.startsWith("nft")))
      .map((nft) => nft.map((step) => step.replace(/pl[a-z2-7]{13}|([0-9a-f]{2}:){5}[0-9a-f]{2}/g, "*")));
    for (const nft of steps) expect(nft).toEqual(steps[0]);
    expect(steps[0]).toHaveLength(1);
    expect(listTable()).not.toContain("elements");
  });
});

describe("DEL", () => {
  it("finds what it has to delete also where a long name of the network leaves no room for the MAC address", () => {
    const name = "n".repeat(110);
    const one = bench.attach(l2Network({ name, macspoofchk: true }));
    const two = bench.attach(l2Network({ name, macspoofchk: true }), { containerId: "other" });
    bench.caller.succeed({ ...two.who, command: "DEL" });
    bench.caller.succeed({ ...one.who, command: "CHECK" });
    bench.detach(one);
    expect(listTable()).not.toContain("elements");
  });

  it("needs neither namespace nor result nor ruleset", () => {
    const [one, two] = [bench.attach(checked), bench.attach(checked)];
    bench.caller.succeed({ ...one.who, command: "DEL", config: checked, env: { CNI_NETNS: undefined } });
    expect(listTable()).not.toContain(hostLinkName({ network: "wire", containerId: "cid-1", ifname: "eth0" }));
    output("nft", "flush", "ruleset");
    bench.detach(two);
    const three = bench.attach(checked);
    expect(passes(three, bench.attach(checked), { mac: SPOOFED })).toBe(false);
  });
});

describe("an ADD after one that died", () => {
  it("allows no MAC address but its own", () => {
    const port = hostLinkName({ network: "wire", containerId: "again", ifname: "eth0" });
    bench.attach(checked);
    output("nft", `add element bridge podlink spoof_checked { ${port} comment "${port} wire ${SPOOFED} again eth0" }`);
    output("nft", `add element bridge podlink spoof_allowed { ${port} . ${SPOOFED} comment "${port} wire again eth0" }`);
    const again = bench.attach(checked, { containerId: "again" });
    expect(listTable()).not.toContain(SPOOFED);
    expect(passes(again, bench.attach(checked), { mac: SPOOFED })).toBe(false);
  });
});

describe("GC", () => {
  it("removes what belongs to attachments that are gone, and no others", () => {
    bench.attach(checked, { containerId: "stale" });
    const kept = bench.attach(checked, { containerId: "kept" });
    const other = bench.attach(l2Network({ name: "wire2", macspoofchk: true }), { containerId: "other" });
    const valid = [{ containerID: "kept", ifname: "eth0" }];
    bench.caller.succeed({ type: "bridge", command: "GC", config: { ...checked, "cni.dev/valid-attachments": valid } });
    expect(listTable()).not.toContain("stale");
    for (const { who } of [kept, other]) bench.caller.succeed({ ...who, command: "CHECK" });
  });
});

describe("CHECK names", () => {
  it.each<[what: string, damage: (port: string) => string, words: string]>([
    ["a table that is gone", () => "delete table bridge podlink", 'chain "bridge podlink spoof_check": it does not exist'],
    ["a rule that is gone", () => "flush chain bridge podlink spoof_check", 'it lacks the rule "from a container under a MAC'],
    [
      "a port that is not checked",
      (port) => `delete element bridge podlink spoof_checked { ${port} }`,
      'in set "bridge podlink spoof_checked"',
    ],
    [
      "a MAC address that is not allowed",
      () => "flush set bridge podlink spoof_allowed",
      'in set "bridge podlink spoof_allowed"',
    ],
  ])("%s", (_what, damage, words) => {
    const attached = bench.attach(checked);
    output("nft", damage(attached.result.interfaces?.[1]?.name ?? ""));
    expect(bench.caller.fail({ ...attached.who, command: "CHECK" }).msg).toContain(words);
  });
});

describe("the ruleset", () => {
  it("of one attachment is this", () => {
    const attached = bench.attach(checked);
    const port = hostLinkName({ network: "wire", containerId: "cid-1", ifname: "eth0" });
    expect(
      listTable().replaceAll("\t", "  ").replaceAll(port, "PORT").replaceAll(macOf(attached), "MAC"),
    ).toBe(`table bridge podlink {
  comment "made by podlink; it makes again what is missing"
  set spoof_checked {
    type ifname
    elements = { "PORT" comment "PORT wire MAC cid-1 eth0" }
  }

  set spoof_allowed {
    type ifname . ether_addr
    elements = { "PORT" . MAC comment "PORT wire cid-1 eth0" }
  }

  chain spoof_check {
    type filter hook prerouting priority dstnat; policy accept;
    iifname @spoof_checked iifname . ether saddr != @spoof_allowed drop comment "from a container under a MAC address that is not its own"
  }
}
`);
  });
});
