import { describe, expect, it } from "vitest";
import { Bench } from "../support/attach.ts";
import type { Json } from "../support/call-plugin.ts";
import { ipJson, makeSandbox, nodeSnapshot, output } from "../support/node.ts";
import { makeOutside } from "../support/outside.ts";
import { ask, serve } from "../support/talk.ts";

// The type that does it all in one call, with real packets.

const bench = new Bench();

const podlink = (more: Json = {}): Json & { readonly type: string } => ({
  cniVersion: "1.1.0",
  name: "pods",
  type: "podlink",
  ipam: { type: "host-local", ranges: [[{ subnet: "10.244.1.0/24" }], [{ subnet: "fd00:244:1::/64" }]] },
  ...more,
});

const sysctl = (key: string): string => output("sysctl", "-n", key).trim();

interface ShownRoute {
  readonly dst: string;
  readonly gateway?: string;
  readonly scope?: string;
}

describe("routed mode", () => {
  it("gives each container addresses that stand alone, and a way to everybody through the gateway", () => {
    const { sandbox, result } = bench.attach(podlink());
    expect(result.ips).toEqual([
      { address: "10.244.1.2/32", gateway: "10.244.1.1", interface: 2 },
      { address: "fd00:244:1::2/128", gateway: "fd00:244:1::1", interface: 2 },
    ]);
    expect(result.interfaces?.map(({ name }) => name)).toEqual(["podlink0", expect.stringMatching(/^pl/), "eth0"]);
    const routes = sandbox.ipJson<ShownRoute>("route", "show");
    expect(routes.map(({ dst, gateway }) => [dst, gateway])).toEqual([
      ["default", "10.244.1.1"],
      ["10.244.1.1", undefined],
    ]);
  });

  it("lets them reach each other, the node and back, with the first packet, by their own addresses", () => {
    const [one, two] = [bench.attach(podlink()), bench.attach(podlink())];
    for (const address of [two.v4, two.v6, "10.244.1.1", "fd00:244:1::1"]) expect(one.sandbox.ping(address), address).toBe(true);
    for (const address of [one.v4, one.v6]) expect(output("ping", "-c", "1", "-W", "2", address)).toContain("1 received");
    // Through the node's routing, not past it: one hop less to live
    expect(one.sandbox.run(() => output("ping", "-c", "1", "-W", "2", two.v4))).toContain("ttl=63");
  });

  it("sends and takes no redirects, and takes no router advertisements", () => {
    const { sandbox } = bench.attach(podlink());
    expect(sysctl("net.ipv4.conf.podlink0.send_redirects")).toBe("0");
    expect(sysctl("net.ipv4.conf.all.send_redirects")).toBe("0");
    for (const key of ["ipv4/conf/eth0/accept_redirects", "ipv6/conf/eth0/accept_redirects", "ipv6/conf/eth0/accept_ra"]) {
      expect(sandbox.sysctl(`net/${key}`), key).toBe("0");
    }
  });

  it("passes CHECK, which sees a route or the gateway gone", () => {
    const attached = bench.attach(podlink());
    const check = { ...attached.who, command: "CHECK" };
    bench.caller.succeed(check);
    output("ip", "address", "del", "10.244.1.1/24", "dev", "podlink0");
    expect(bench.caller.fail(check).msg).toContain("find gateway address 10.244.1.1");
    output("ip", "address", "add", "10.244.1.1/24", "dev", "podlink0");
    attached.sandbox.ip("route", "del", "default");
    expect(bench.caller.fail(check).msg).toContain("find route default via 10.244.1.1");
  });

  it("leaves nothing of a container behind", () => {
    bench.detach(bench.attach(podlink()));
    const clean = nodeSnapshot();
    const attached = bench.attach(podlink());
    bench.detach(attached);
    bench.detach(attached);
    expect(nodeSnapshot()).toEqual(clean);
  });
});

describe("bridged mode", () => {
  it("gives the classic subnet, where neighbours see each other directly", () => {
    const [one, two] = [bench.attach(podlink({ mode: "bridged" })), bench.attach(podlink({ mode: "bridged" }))];
    expect(one.result.ips?.map(({ address }) => address)).toEqual(["10.244.1.2/24", "fd00:244:1::2/64"]);
    expect(one.sandbox.run(() => output("ping", "-c", "1", "-W", "2", two.v4))).toContain("ttl=64");
  });
});

describe("a call with everything", () => {
  const everything = () =>
    podlink({
      runtimeConfig: {
        // as containerd spells them
        portMappings: [{ HostPort: 8080, ContainerPort: 80, Protocol: "tcp", HostIP: "" }],
        bandwidth: { IngressRate: 8_000_000, IngressBurst: 800_000, EgressRate: 8_000_000, EgressBurst: 800_000 },
        dns: { Servers: ["10.96.0.10"], Searches: ["default.svc.cluster.local"], Options: ["ndots:5"] },
        mac: "c2:00:00:00:00:42",
        ips: ["10.244.1.77"],
      },
    });

  it("masquerades, maps the port, limits the rate, and takes address, MAC and DNS as told", async () => {
    const outside = makeOutside();
    const { sandbox, result } = bench.attach(everything());
    expect(result.ips?.[0]?.address).toBe("10.244.1.77/32");
    expect(result.interfaces?.[2]).toMatchObject({ name: "eth0", mac: "c2:00:00:00:00:42" });
    expect(result.dns).toEqual({ nameservers: ["10.96.0.10"], search: ["default.svc.cluster.local"], options: ["ndots:5"] });
    await serve((work) => sandbox.run(work), { protocol: "tcp", address: "10.244.1.77", port: 80, name: "pod" });
    await serve((work) => outside.sandbox.run(work), { protocol: "tcp", address: outside.v4, port: 81, name: "outside" });
    const fromOutside = <T>(work: () => T): T => outside.sandbox.run(work);
    expect(ask(fromOutside, { protocol: "tcp", address: outside.node.v4, port: 8080 })).toBe(`pod ${outside.v4}`);
    expect(ask((work) => work(), { protocol: "tcp", address: "127.0.0.1", port: 8080 })).toContain("pod ");
    // The world sees the node's address, a neighbour the container's own
    expect(ask((work) => sandbox.run(work), { protocol: "tcp", address: outside.v4, port: 81 })).toBe(
      `outside ${outside.node.v4}`,
    );
    const neighbour = bench.attach(podlink());
    expect(ask((work) => neighbour.sandbox.run(work), { protocol: "tcp", address: "10.244.1.77", port: 80 })).toBe(
      `pod ${neighbour.v4}`,
    );
    const limits = JSON.parse(output("tc", "-j", "qdisc", "show")).filter(({ kind }: { kind: string }) => kind === "tbf");
    expect(limits).toHaveLength(2);
  });

  it("goes in an order in which nothing passes unseen and the kernel makes nobody wait twice", () => {
    const attached = bench.attach(everything());
    const { steps } = bench.caller.succeed({ ...attached.who, command: "DEL" });
    const links = steps.map((step) => /^(?:ip link|nft)( set pl\S+)?( down| del| group)?/.exec(step)?.[0]?.replace(/pl\S+/, "…"));
    expect(links.filter((step) => step !== undefined)).toEqual([
      "ip link set … down",
      "nft",
      "ip link set … group",
      "ip link set … group",
      "ip link del",
    ]);
    expect(steps.findIndex((step) => step.startsWith("ip link del group "))).toBeLessThan(steps.length - 1); // the lease comes last
  });

  it("passes CHECK, sees a flushed ruleset, and goes without a trace even then", () => {
    bench.detach(bench.attach(everything()));
    const clean = nodeSnapshot();
    const attached = bench.attach(everything());
    bench.caller.succeed({ ...attached.who, command: "CHECK" });
    bench.detach(attached);
    expect(nodeSnapshot()).toEqual(clean);
    const again = bench.attach(everything());
    output("nft", "flush", "ruleset");
    expect(bench.caller.fail({ ...again.who, command: "CHECK" }).msg).toContain("portmap");
    bench.detach(again);
    bench.attach(everything());
  });
});

describe("who reaches a container", () => {
  it("is said by ingressPolicy, which goes with the last container", () => {
    const [one, two] = [1, 2].map(() => bench.attach(podlink({ ingressPolicy: "isolated" })));
    if (one === undefined || two === undefined) throw new Error("nobody was attached");
    expect(one.sandbox.ping("10.244.1.1")).toBe(true);
    expect(one.sandbox.ping(two.v4, { timeoutMs: 300 })).toBe(false);
    for (const each of [one, two]) bench.detach(each);
    const [three, four] = [bench.attach(podlink()), bench.attach(podlink())];
    expect(three.sandbox.ping(four.v4)).toBe(true);
  });

  it("is also up to other people's chains, through which hostForward makes a way", () => {
    const outside = makeOutside();
    const chain = "{ type filter hook forward priority 0; policy drop; }";
    output("nft", `add table ip theirs; add chain ip theirs forward ${chain}`);
    const closed = bench.attach(podlink());
    expect(closed.sandbox.ping(outside.v4, { timeoutMs: 300 })).toBe(false);
    bench.detach(closed);
    const open = bench.attach(podlink({ hostForward: true }));
    expect(open.sandbox.ping(outside.v4)).toBe(true);
    bench.detach(open);
    expect(output("nft", "list", "table", "ip", "theirs")).not.toContain("accept");
  });
});

describe("the MTU", () => {
  it("is that of the node's default route, unless set", () => {
    output("ip", "link", "add", "uplink0", "mtu", "1450", "type", "veth", "peer", "name", "uplink1");
    for (const link of ["uplink0", "uplink1"]) output("ip", "link", "set", link, "up");
    output("ip", "address", "add", "192.0.2.2/24", "dev", "uplink0");
    output("ip", "route", "add", "default", "via", "192.0.2.1");
    const mtuOf = (more: Json) => bench.attach(podlink(more)).sandbox.ipJson("link", "show", "dev", "eth0")[0]?.mtu;
    expect(mtuOf({})).toBe(1450);
    expect(mtuOf({ mtu: 1300 })).toBe(1300);
    expect(ipJson("link", "show", "dev", "podlink0")[0]?.mtu).toBeLessThanOrEqual(1450);
  });
});

describe("the configuration", () => {
  it.each<[what: string, config: Json, code: number, word: string]>([
    ["a key that nobody knows", { brigde: "x" }, 2, "brigde"],
    ["a mode there is not", { mode: "magic" }, 7, "mode"],
    ["no IPAM", { ipam: {} }, 7, "ipam"],
    ["an MTU that cannot be", { mtu: 10 }, 7, "mtu"],
  ])("refuses %s before any work", (_what, config, code, word) => {
    const before = nodeSnapshot();
    const error = bench.caller.fail({ type: "podlink", command: "ADD", netns: makeSandbox().path, config: podlink(config) });
    expect({ code: error.code, named: error.msg.includes(word) }).toEqual({ code, named: true });
    expect(nodeSnapshot()).toEqual(before);
  });

  it("does not look into ipam, whose keys are the IPAM plugin's", () => {
    bench.attach(podlink({ ipam: { type: "host-local", subnet: "10.244.1.0/24", whatever: 1 } }));
  });
});
