import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { beforeEach, describe, expect, it } from "vitest";
import { type BridgeWish, ensureBridge, findBridge, NotABridgeError, pinMac, startPort } from "../../src/link/bridges.ts";
import { deleteLink, getLink, setLink } from "../../src/link/links.ts";
import { readSysctl } from "../../src/link/sysctl.ts";
import { ipJson, output } from "../support/node.ts";
import { addContainer, connectVeth, makePair, makeStage, type Stage } from "../support/stage.ts";

let stage: Stage;
beforeEach(() => {
  stage = makeStage();
});

const plain: BridgeWish = { name: "br7", mtu: 0, vlanFiltering: false, promiscuous: false };

/** `bridge -d -j link show dev <name>`, the flags of a port in the words of iproute2. */
function portFlags(name: string): Record<string, unknown> {
  return JSON.parse(output("bridge", "-d", "-j", "link", "show", "dev", name))[0];
}

describe("ensureBridge", () => {
  it("makes a bridge that is up, with a MAC of its own, without router advertisements", () => {
    const bridge = ensureBridge(stage.host, { ...plain, mtu: 1400 });
    expect(ipJson("link", "show", "dev", "br7")).toMatchObject([
      {
        ifname: "br7",
        ifindex: bridge.index,
        mtu: 1400,
        address: bridge.mac,
        flags: expect.arrayContaining(["UP"]),
        linkinfo: { info_kind: "bridge" },
      },
    ]);
    expect(readSysctl(stage.host, "net/ipv6/conf/br7/accept_ra")).toBe("0");
    expect(stage.commands()).toEqual([
      `ip link add br7 mtu 1400 address ${bridge.mac} type bridge`,
      "sysctl -w net/ipv6/conf/br7/accept_ra=0",
      "sysctl -w net/ipv6/conf/br7/accept_dad=0",
      "ip link set br7 up",
    ]);
  });

  it("changes nothing about one that is there and up", () => {
    const first = ensureBridge(stage.host, { ...plain, mtu: 1400 });
    const before = stage.commands();
    expect(ensureBridge(stage.host, { ...plain, mtu: 1300 })).toMatchObject({ index: first.index, mac: first.mac, mtu: 1400 });
    expect(stage.commands()).toEqual(before);
  });

  it("brings up one that is down, and makes it promiscuous where that is asked for", () => {
    output("ip", "link", "add", "br7", "type", "bridge");
    ensureBridge(stage.host, { ...plain, promiscuous: true });
    expect(getLink(stage.host, "br7")).toMatchObject({ up: true, promiscuous: true });
  });

  it("refuses a link of that name that is no bridge", () => {
    makePair(stage.host, "br7");
    expect(() => ensureBridge(stage.host, plain)).toThrow(new NotABridgeError("br7", "veth"));
    expect(() => findBridge(stage.host, "lo")).toThrow(
      'Cannot use "lo" as a bridge: a link of that name exists and is not a bridge',
    );
    expect(findBridge(stage.host, "nosuch0")).toBeUndefined();
  });

  it("is asked by many at once: one bridge, and everybody has it", async () => {
    const url = (path: string) => JSON.stringify(new URL(`../../src/${path}`, import.meta.url).href);
    const program = `
      import { ensureBridge } from ${url("link/bridges.ts")};
      import { NetworkNamespace } from ${url("link/namespace.ts")};
      import { Steps } from ${url("support/steps.ts")};
      const host = NetworkNamespace.host(new Steps());
      process.stdin.once("data", () => {
        const { index } = ensureBridge(host, ${JSON.stringify({ ...plain, mtu: 1400 })});
        console.log(index);
      });
      console.log("ready");`;
    const children = Array.from({ length: 6 }, () =>
      spawn(process.execPath, ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", program]),
    );
    try {
      const errors = children.map((child) => text(child.stderr));
      await Promise.all(children.map((child) => once(child.stdout, "data"))); // every one stands at the start
      const answers = children.map((child) => text(child.stdout));
      for (const child of children) child.stdin.end("go");
      expect(await Promise.all(errors)).toEqual(children.map(() => ""));
      const bridge = getLink(stage.host, "br7");
      expect(await Promise.all(answers)).toEqual(children.map(() => `${bridge.index}\n`));
      expect(bridge).toMatchObject({ up: true, mtu: 1400, kind: "bridge" });
    } finally {
      for (const child of children) child.kill();
    }
  });
});

describe("a bridge's MAC", () => {
  function macAfterPort(mac: string): string {
    const port = makePair(stage.host, "va");
    setLink(stage.host, port, { command: `address ${mac}`, message: { address: mac } });
    setLink(stage.host, port, { command: "master br7", message: { master: getLink(stage.host, "br7").index } });
    const during = getLink(stage.host, "br7").mac;
    deleteLink(stage.host, "va");
    expect(getLink(stage.host, "br7").mac).toBe(during);
    return during;
  }

  it("stays while ports come and go, if we made the bridge", () => {
    const { mac } = ensureBridge(stage.host, plain);
    expect(macAfterPort("02:00:00:00:00:01")).toBe(mac);
  });

  it("follows the ports, if somebody else made the bridge without one, until it is pinned", () => {
    output("ip", "link", "add", "br7", "up", "type", "bridge");
    const port = makePair(stage.host, "vz");
    setLink(stage.host, port, {
      command: "…",
      message: { address: "02:00:00:00:00:02", master: getLink(stage.host, "br7").index },
    });
    expect(getLink(stage.host, "br7").mac).toBe("02:00:00:00:00:02");
    expect(pinMac(stage.host, getLink(stage.host, "br7"))).toBe("02:00:00:00:00:02");
    expect(macAfterPort("02:00:00:00:00:01")).toBe("02:00:00:00:00:02");
  });

  it("is made up when there is none to pin", () => {
    const bridge = ensureBridge(stage.host, plain);
    const mac = pinMac(stage.host, { ...bridge, mac: "00:00:00:00:00:00" });
    expect(mac).not.toBe(bridge.mac);
    expect(getLink(stage.host, "br7").mac).toBe(mac);
  });
});

describe("startPort", () => {
  it.each([
    { hairpin: false, isolated: false },
    { hairpin: true, isolated: false },
    { hairpin: false, isolated: true },
    { hairpin: true, isolated: true },
  ])("hairpin $hairpin, isolated $isolated", (wish) => {
    const bridge = ensureBridge(stage.host, plain);
    const { outer } = connectVeth(addContainer(stage), "plport", { master: bridge });
    startPort(stage.host, outer, { ...wish, alias: "whose it is" });
    expect(portFlags("plport")).toMatchObject({
      master: "br7",
      flags: expect.arrayContaining(["UP"]),
      hairpin: wish.hairpin,
      isolated: wish.isolated,
    });
    expect(getLink(stage.host, "plport")).toMatchObject({ up: true, alias: "whose it is", master: bridge.index, port: wish });
    expect(readSysctl(stage.host, "net/ipv6/conf/plport/accept_ra")).toBe("0");
  });

  it("attaches a port that is not attached yet", () => {
    const bridge = ensureBridge(stage.host, plain);
    const { outer } = connectVeth(addContainer(stage), "plport");
    startPort(stage.host, outer, { master: bridge, hairpin: true, isolated: false, alias: "late" });
    expect(portFlags("plport")).toMatchObject({ master: "br7", hairpin: true });
    expect(stage.commands().slice(-2)).toEqual([
      "ip link set plport master br7",
      "ip link set plport up alias late type bridge_slave hairpin on",
    ]);
  });

  it("isolates: two isolated ports do not reach each other, each reaches one that is not", () => {
    const bridge = ensureBridge(stage.host, plain);
    const [one, , open] = ["10.7.0.1", "10.7.0.2", "10.7.0.3"].map((address, i) => {
      const sandbox = addContainer(stage);
      const { outer } = connectVeth(sandbox, `plport${i}`, { master: bridge });
      startPort(stage.host, outer, { hairpin: false, isolated: i < 2, alias: address });
      sandbox.container.inside(() => output("ip", "address", "add", `${address}/24`, "dev", "eth0"));
      sandbox.container.inside(() => output("ip", "link", "set", "eth0", "up"));
      return sandbox.container;
    });
    const reach = (from: typeof one, address: string) => from?.inside(() => pings(address));
    expect(reach(one, "10.7.0.3")).toBe(true);
    expect(reach(open, "10.7.0.2")).toBe(true);
    expect(reach(one, "10.7.0.2")).toBe(false);
  });
});

/** Whether one of up to five echo requests is answered: the first may come before the port forwards. */
function pings(address: string): boolean {
  try {
    output("ping", "-c", "5", "-i", "0.2", "-W", "1", "-w", "2", address);
    return true;
  } catch {
    return false;
  }
}
