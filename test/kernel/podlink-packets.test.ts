import { existsSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import type { Attached } from "../support/attach.ts";
import type { Json } from "../support/call-plugin.ts";
import { ARP, FrameSocket } from "../support/frames.ts";
import { becomeHost } from "../support/namespaces.ts";
import { output } from "../support/node.ts";
import { makeOutside, type Outside } from "../support/outside.ts";
import { answerAs, asked, inside, node, PortBench, reach, SILENCE_MS } from "../support/port-bench.ts";
import { ask, type Protocol, serve } from "../support/talk.ts";

// What type podlink promises in both of its modes, packet by packet. What its parts do beside that is told where they are tested.

const bench = new PortBench();
let outside: Outside;
beforeEach(() => {
  outside = makeOutside();
});

/** What br_netfilter adds to a namespace; a kernel without it has bridges that pass packets on by themselves. */
const unfiltered = existsSync("/proc/sys/net/bridge/bridge-nf-call-iptables") ? "" : " (needs CONFIG_BRIDGE_NETFILTER)";

const protocols: readonly Protocol[] = ["tcp", "udp"];
const families = ["v4", "v6"] as const;
const gateway = { v4: "10.244.1.1", v6: "fd00:244:1::1" };

const podlink = (more: Json = {}): Json & { readonly type: string } => ({
  cniVersion: "1.1.0",
  name: "pods",
  type: "podlink",
  ipam: { type: "host-local", ranges: [[{ subnet: "10.244.1.0/24" }], [{ subnet: "fd00:244:1::/64" }]] },
  ...more,
});

const ports = asked(protocols.map((protocol) => ({ hostPort: 8080, protocol })));

/** Answers at port 80 with its name and the client's address, over tcp and udp and in both families. */
async function answer({ sandbox, v6 }: Attached): Promise<void> {
  await answerAs("pod", sandbox);
  await serve(inside(sandbox), { protocol: "udp", address: v6, port: 80, name: "pod" });
}

/** Whom the container sees, by family and protocol, when somebody asks for these addresses at the host port. */
function seen(from: Parameters<typeof reach>[0], addresses: Readonly<Record<"v4" | "v6", string>>): (string | undefined)[] {
  return families.flatMap((family) => protocols.map((protocol) => reach(from, addresses[family], { protocol })));
}

const everyWay = ({ v4, v6 }: { v4: string; v6: string }): string[] => [v4, v4, v6, v6].map((client) => `pod ${client}`);

describe.each(["routed", "bridged"])("mode %s", (mode) => {
  it("host ports lead to the container from another host and from the node, at each of its addresses", async () => {
    const pod = bench.attach(podlink({ mode, ...ports }));
    await answer(pod);
    expect(seen(outside.sandbox, outside.node)).toEqual(everyWay(outside));
    expect(seen(outside.sandbox, gateway)).toEqual(everyWay(outside));
    expect(seen(node, outside.node)).toEqual(everyWay(outside.node));
    expect(seen(node, gateway)).toEqual(everyWay(gateway));
    for (const protocol of protocols) expect(reach(node, "127.0.0.1", { protocol })).toBe(`pod ${gateway.v4}`);
  });

  describe.each(["0", "1"])("bridge-nf-call-iptables %s", (calls) => {
    it.skipIf(calls === "1" && unfiltered !== "")(
      `host ports lead there from the container itself and its neighbours${unfiltered}`,
      async () => {
        const [pod, neighbour] = [bench.attach(podlink({ mode, ...ports })), bench.attach(podlink({ mode }))];
        if (unfiltered === "")
          for (const key of ["iptables", "ip6tables"]) output("sysctl", "-qw", `net.bridge.bridge-nf-call-${key}=${calls}`);
        await answer(pod);
        for (const addresses of [outside.node, gateway]) {
          expect(seen(pod.sandbox, addresses)).toEqual(everyWay(gateway));
          // Only in a subnet of their own would neighbours be answered past the node
          expect(seen(neighbour.sandbox, addresses)).toEqual(everyWay(mode === "routed" ? neighbour : gateway));
        }
      },
    );
  });
});

it.each([
  { mode: "bridged", told: true, what: "tells its neighbours on the bridge where its address is now" },
  { mode: "routed", told: false, what: "has no neighbours that would look for it, and spares them the broadcast" },
])("a new container in mode $mode $what", ({ mode, told }) => {
  const neighbour = bench.attach(podlink({ mode }));
  const heard = new FrameSocket(neighbour.sandbox, "eth0", ARP);
  const newcomer = bench.attach(podlink({ mode }));
  new FrameSocket(newcomer.sandbox, "eth0", ARP).send("the end");
  const first = heard.receive(10_000);
  expect(first).toBeDefined();
  expect(first !== "the end").toBe(told);
});

describe("without another word in the configuration", () => {
  it("what goes out is masqueraded, what stays inside is not", async () => {
    const [one, two] = [bench.attach(podlink()), bench.attach(podlink())];
    for (const { sandbox, v4, v6 } of [{ ...outside }, two]) {
      for (const protocol of protocols) {
        for (const address of [v4, v6]) await serve(inside(sandbox), { protocol, address, port: 81, name: "server" });
      }
    }
    const asking = ({ v4, v6 }: { v4: string; v6: string }) =>
      [v4, v6].flatMap((address) =>
        protocols.map((protocol) => ask(inside(one.sandbox), { protocol, address, port: 81 })?.replace("::ffff:", "")),
      );
    const heard = ({ v4, v6 }: { v4: string; v6: string }) => [v4, v4, v6, v6].map((client) => `server ${client}`);
    expect(asking(outside)).toEqual(heard(outside.node));
    expect(asking(two)).toEqual(heard(one));
  });

  it("the node's 127.0.0.1 is open to no container and no neighbour, though a host port is reached there", async () => {
    const pod = bench.attach(podlink(ports));
    await answer(pod);
    for (const protocol of protocols) await serve(node, { protocol, address: "127.0.0.1", port: 9000, name: "secret" });
    const intruders = [
      { sandbox: pod.sandbox, over: gateway.v4 },
      { sandbox: outside.sandbox, over: outside.node.v4 },
    ];
    for (const { sandbox, over } of intruders) {
      sandbox.ip("address", "flush", "dev", "lo");
      sandbox.ip("route", "add", "127.0.0.1", "via", over);
      sandbox.run(() => writeFileSync("/proc/sys/net/ipv4/conf/eth0/route_localnet", "1"));
    }
    for (const key of ["uplink/route_localnet", "podlink0/route_localnet"]) writeFileSync(`/proc/sys/net/ipv4/conf/${key}`, "1");
    const attempts = (options: { silent?: true }) =>
      intruders.flatMap(({ sandbox }) =>
        protocols.map((protocol) => reach(sandbox, "127.0.0.1", { port: 9000, protocol, ...options })?.slice(0, 6)),
      );
    expect(reach(node, "127.0.0.1")).toBe(`pod ${gateway.v4}`);
    expect(attempts({ silent: true })).toEqual([undefined, undefined, undefined, undefined]);
    output("nft", "flush", "chain", "inet", "podlink", "loopback_guard");
    expect(attempts({})).toEqual(["secret", "secret", "secret", "secret"]); // so it was the guard that stopped them
  });

  it("a frame from another MAC address than the container's own is dropped, unless told otherwise", () => {
    const passes = (from: Attached, to: Attached): boolean => {
      const [sender, receiver] = [new FrameSocket(from.sandbox, "eth0"), new FrameSocket(to.sandbox, "eth0")];
      sender.send("own");
      expect(receiver.receive(2000)).toBe("own");
      sender.send("spoofed", { from: "02:00:00:00:00:99" });
      return receiver.receive(SILENCE_MS) === "spoofed";
    };
    const [one, two] = [bench.attach(podlink()), bench.attach(podlink({ macspoofchk: false }))];
    expect(passes(one, two)).toBe(false);
    expect(passes(two, one)).toBe(true);
  });
});

/** Leaves this process in an empty network namespace. */
function hasIptables(): boolean {
  becomeHost();
  try {
    return output("iptables-nft", "-P", "FORWARD", "DROP") !== undefined;
  } catch {
    return false;
  }
}

describe.skipIf(!hasIptables())("where iptables-nft drops what is forwarded (needs the package iptables)", () => {
  it("hostForward makes a way that iptables shows, until the last container has gone", () => {
    for (const tool of ["iptables-nft", "ip6tables-nft"]) output(tool, "-P", "FORWARD", "DROP");
    // Neighbours of what is forwarded are asked from link-local addresses, which a new link has a second later by itself
    output("ip", "address", "add", "fe80::1/64", "dev", "uplink", "nodad");
    outside.sandbox.ip("address", "add", "fe80::9/64", "dev", "eth0", "nodad");
    const rules = () =>
      ["iptables-nft", "ip6tables-nft"].map((tool) => output(tool, "-S", "FORWARD").match(/podlink: .*?"/g) ?? []);
    const closed = bench.attach(podlink());
    for (const address of [outside.v4, outside.v6]) expect(closed.sandbox.ping(address, { timeoutMs: 300 })).toBe(false);
    expect(rules()).toEqual([[], []]);

    const [one, two] = [bench.attach(podlink({ hostForward: true })), bench.attach(podlink({ hostForward: true }))];
    const made = ["from", "replies to", "translated to"].map((direction) => `podlink: ${direction} podlink0 (pods)"`);
    for (const { sandbox } of [one, two]) {
      for (const address of [outside.v4, outside.v6]) expect(sandbox.ping(address), address).toBe(true);
    }
    expect(one.sandbox.ping(two.v4)).toBe(true);
    expect(rules()).toEqual([made, made]);
    bench.detach(one);
    expect(two.sandbox.ping(outside.v4)).toBe(true);
    bench.detach(two);
    expect(rules()).toEqual([[], []]);
  });

  it("hostForward lets host ports through too", async () => {
    for (const tool of ["iptables-nft", "ip6tables-nft"]) output(tool, "-P", "FORWARD", "DROP");
    const closed = bench.attach(podlink(ports));
    await answer(closed);
    expect(reach(outside.sandbox, outside.node.v4, { silent: true })).toBeUndefined();
    bench.detach(closed);
    const open = bench.attach(podlink({ ...ports, hostForward: true }));
    await answer(open);
    expect(reach(outside.sandbox, outside.node.v4)).toBe(`pod ${outside.v4}`);
  });
});
