import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { networkLinkPrefix } from "../../src/link/names.ts";
import { Bench, bridgeNetwork, l2Network, v4Network } from "../support/attach.ts";
import { ipJson, leases, makeSandbox, nodeSnapshot, output } from "../support/node.ts";

// What type bridge makes of each of its keys, as the kernel and `ip` show it.

const bench = new Bench();

interface LinkShown {
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly master?: string;
  readonly promiscuity: number;
  readonly linkinfo?: { readonly info_kind: string; readonly info_slave_data?: Readonly<Record<string, unknown>> };
}

function link(name: string): LinkShown {
  const [found] = ipJson<LinkShown>("link", "show", "dev", name);
  if (found === undefined) throw new Error(`no link ${name}`);
  return found;
}

const routesOf = (sandbox: { ipJson: typeof ipJson }, ...family: string[]) =>
  sandbox.ipJson(...family, "route", "show", "table", "all", "dev", "eth0");

describe("the result", () => {
  it("lists bridge, host end and container end with MAC and MTU, and the addresses of the latter", () => {
    const { result, sandbox } = bench.attach(bridgeNetwork({ mtu: 1400 }));
    const [bridge, port, inside, ...more] = result.interfaces ?? [];
    expect(more).toEqual([]);
    expect(bridge).toEqual({ name: "br1", mac: link("br1").address, mtu: 1400 });
    expect(port).toEqual({ name: port?.name, mac: link(port?.name ?? "").address, mtu: 1400 });
    expect(port?.name.startsWith(networkLinkPrefix("net1"))).toBe(true);
    const [eth0] = sandbox.ipJson<LinkShown>("link", "show", "dev", "eth0");
    expect(inside).toEqual({ name: "eth0", mac: eth0?.address, mtu: 1400, sandbox: sandbox.path });
    expect(eth0).toMatchObject({ mtu: 1400, flags: expect.arrayContaining(["UP"]) });
    expect(link(port?.name ?? "")).toMatchObject({
      master: "br1",
      flags: expect.arrayContaining(["UP"]),
      linkinfo: { info_kind: "veth" },
    });
    expect(result.ips).toEqual([
      { address: "10.91.0.2/24", gateway: "10.91.0.1", interface: 2 },
      { address: "fd00:91::2/64", gateway: "fd00:91::1", interface: 2 },
    ]);
  });

  it("has the MAC that the bridge has afterwards, also of a bridge that somebody else made", () => {
    output("ip", "link", "add", "br1", "type", "bridge");
    const { result } = bench.attach(l2Network());
    expect(result.interfaces?.[0]?.mac).toBe(link("br1").address);
  });

  it("has the gateway of the subnet where IPAM names none, and only on a gateway", () => {
    const ipam = { type: "static", addresses: [{ address: "10.91.0.9/24" }] };
    expect(bench.attach(bridgeNetwork({ ipam })).result.ips).toEqual([
      { address: "10.91.0.9/24", gateway: "10.91.0.1", interface: 2 },
    ]);
    const { result } = bench.attach(bridgeNetwork({ name: "net2", bridge: "br2", isGateway: false, ipam }));
    expect(result.ips).toEqual([{ address: "10.91.0.9/24", interface: 2 }]);
    expect(ipJson<{ addr_info: unknown[] }>("-4", "address", "show", "dev", "br2")).toEqual([]);
  });

  it("has the configuration's dns where it says anything, else IPAM's", () => {
    const ipam = { type: "static", addresses: [{ address: "10.91.0.9/24" }], dns: { nameservers: ["10.9.9.9"] } };
    const dnsOf = (dns: object | undefined, bridge: string) =>
      bench.attach(bridgeNetwork({ name: bridge, bridge, ipam, ...(dns === undefined ? {} : { dns }) })).result.dns;
    expect(dnsOf(undefined, "br1")).toEqual({ nameservers: ["10.9.9.9"] });
    expect(dnsOf({ domain: "" }, "br2")).toEqual({ nameservers: ["10.9.9.9"] });
    expect(dnsOf({ search: ["example.org"] }, "br3")).toEqual({ search: ["example.org"] });
  });
});

describe("routes", () => {
  it("lead to everywhere through the gateway of each family with isDefaultGateway", () => {
    const { sandbox, result } = bench.attach(bridgeNetwork({ isGateway: undefined, isDefaultGateway: true }));
    expect(routesOf(sandbox, "-4")).toContainEqual(expect.objectContaining({ dst: "default", gateway: "10.91.0.1" }));
    expect(routesOf(sandbox, "-6")).toContainEqual(expect.objectContaining({ dst: "default", gateway: "fd00:91::1" }));
    expect(result.routes).toEqual([
      { dst: "0.0.0.0/0", gw: "10.91.0.1" },
      { dst: "::/0", gw: "fd00:91::1" },
    ]);
  });

  it("do not get a second default where IPAM has one with a gateway", () => {
    const ipam = {
      type: "static",
      addresses: [{ address: "10.91.0.9/24", gateway: "10.91.0.1" }],
      routes: [{ dst: "0.0.0.0/0", gw: "10.91.0.254" }],
    };
    const { sandbox } = bench.attach(bridgeNetwork({ isDefaultGateway: true, ipam }));
    const defaults = routesOf(sandbox, "-4").filter(({ dst }) => dst === "default");
    expect(defaults).toEqual([expect.objectContaining({ gateway: "10.91.0.254" })]);
  });

  it("are installed with MTU, MSS, priority, table and scope", () => {
    const routes = [
      { dst: "10.1.0.0/16", gw: "10.91.0.1", mtu: 1300, advmss: 1200, priority: 77 },
      { dst: "10.2.0.0/16", gw: "10.91.0.1", table: 1234 },
      { dst: "10.3.0.0/16", scope: 253 },
      { dst: "10.4.0.0/16" },
      { dst: "fd01::/48", gw: "fd00:91::1", mtu: 1350, priority: 88 },
      { dst: "fd02::/48", table: 1235 },
    ];
    const ranges = [[{ subnet: "10.91.0.0/24" }], [{ subnet: "fd00:91::/64" }]];
    const { sandbox, who } = bench.attach(bridgeNetwork({ ipam: { type: "host-local", ranges, routes } }));
    const shown = [...routesOf(sandbox, "-4"), ...routesOf(sandbox, "-6")];
    const route = (dst: string) => shown.find((one) => one.dst === dst);
    expect(route("10.1.0.0/16")).toMatchObject({ gateway: "10.91.0.1", metric: 77, metrics: [{ mtu: 1300, advmss: 1200 }] });
    expect(route("10.2.0.0/16")).toMatchObject({ gateway: "10.91.0.1", table: "1234" });
    expect(route("10.3.0.0/16")).toMatchObject({ scope: "link" });
    expect(route("10.3.0.0/16")).not.toHaveProperty("gateway");
    expect(route("10.4.0.0/16")).toMatchObject({ gateway: "10.91.0.1" });
    expect(route("fd01::/48")).toMatchObject({ gateway: "fd00:91::1", metric: 88, metrics: [{ mtu: 1350 }] });
    expect(route("fd02::/48")).toMatchObject({ gateway: "fd00:91::1", table: "1235" });
    bench.caller.succeed({ ...who, command: "CHECK" });
  });

  it("to one place through several gateways stand side by side", () => {
    const routes = ["10.91.0.1", "10.91.0.254"].map((gw) => ({ dst: "10.5.0.0/16", gw }));
    const { sandbox, who } = bench.attach(
      v4Network({ ipam: { type: "host-local", ranges: [[{ subnet: "10.91.0.0/24" }]], routes } }),
    );
    const gateways = routesOf(sandbox, "-4")
      .filter(({ dst }) => dst === "10.5.0.0/16")
      .map(({ gateway }) => gateway);
    expect(gateways.sort()).toEqual(["10.91.0.1", "10.91.0.254"]);
    bench.caller.succeed({ ...who, command: "CHECK" });
  });
});

describe("the bridge", () => {
  it("is made once with a MAC of its own that no port changes, and without router advertisements", () => {
    bench.attach(bridgeNetwork());
    const before = link("br1").address;
    expect(before).not.toBe("00:00:00:00:00:00");
    const attached = [1, 2, 3].map(() => bench.attach(bridgeNetwork()));
    expect(link("br1").address).toBe(before);
    for (const one of attached) bench.detach(one);
    expect(link("br1").address).toBe(before);
    expect(output("cat", "/proc/sys/net/ipv6/conf/br1/accept_ra").trim()).toBe("0");
  });

  it("gets the gateway's addresses and forwarding of the families there are", () => {
    bench.attach(v4Network());
    const forwards = (key: string) => readFileSync(`/proc/sys/net/${key}`, "utf8").trim();
    expect([forwards("ipv4/ip_forward"), forwards("ipv6/conf/all/forwarding")]).toEqual(["1", "0"]);
    const [bridge] = ipJson<{ addr_info: { local: string; prefixlen: number }[] }>("-4", "address", "show", "dev", "br1");
    expect(bridge?.addr_info).toEqual([expect.objectContaining({ local: "10.91.0.1", prefixlen: 24 })]);
  });

  it("is left without address and forwarding where it is no gateway", () => {
    bench.attach(bridgeNetwork({ isGateway: false }));
    expect(ipJson("-4", "address", "show", "dev", "br1")).toEqual([]);
    expect(readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8").trim()).toBe("0");
  });

  it("keeps the MTU it has, while the pair gets the one asked for", () => {
    bench.attach(l2Network());
    const { result } = bench.attach(l2Network({ mtu: 1280 }));
    expect(result.interfaces?.map(({ mtu }) => mtu)).toEqual([expect.any(Number), 1280, 1280]);
  });

  it("does not lose its IPv6 address by a port whose MTU is too small for that", () => {
    bench.attach(bridgeNetwork());
    const before = nodeSnapshot();
    const sandbox = makeSandbox();
    const call = { type: "bridge", command: "ADD", containerId: "cid-9", netns: sandbox.path };
    expect(bench.caller.fail({ ...call, config: bridgeNetwork({ mtu: 1279 }) })).toMatchObject({
      code: 7,
      msg: expect.stringContaining('"mtu" is 1279, and "br1" has fd00:91::1/64, which needs 1280'),
    });
    expect(nodeSnapshot()).toEqual(before);
  });

  it("with promiscMode is promiscuous, and stays it without", () => {
    bench.attach(l2Network({ promiscMode: true }));
    expect(link("br1").promiscuity).toBeGreaterThan(0);
    bench.attach(l2Network());
    expect(link("br1").promiscuity).toBeGreaterThan(0);
  });

  it("of another network's address is refused, and with forceAddress given the new one", () => {
    const first = bench.attach(v4Network());
    const [before, lines] = [nodeSnapshot(), makeSandbox()];
    const moved = { name: "net2", ipam: { type: "host-local", ranges: [[{ subnet: "10.92.0.0/24" }]] } };
    const call = { type: "bridge", containerId: "cid-9", netns: lines.path };
    const refused = bench.caller.fail({ ...call, command: "ADD", config: v4Network(moved) });
    expect(refused).toMatchObject({
      code: 7,
      msg: expect.stringContaining('"br1" already has an IP address different from 10.92.0.1/24: 10.91.0.1/24'),
    });
    expect(nodeSnapshot()).toEqual(before);
    expect(lines.ipJson("link", "show")).toHaveLength(1);
    const { result } = bench.attach(v4Network({ ...moved, forceAddress: true }));
    expect(result.ips?.[0]?.gateway).toBe("10.92.0.1");
    const [bridge] = ipJson<{ addr_info: { local: string }[] }>("-4", "address", "show", "dev", "br1");
    expect(bridge?.addr_info.map(({ local }) => local)).toEqual(["10.92.0.1"]);
    expect(first.sandbox.ipJson("link", "show", "dev", "eth0")).toHaveLength(1);
  });
});

describe("the port", () => {
  it.each([
    ["as the kernel makes it", {}, { hairpin: false, isolated: false }],
    ["with hairpinMode", { hairpinMode: true }, { hairpin: true, isolated: false }],
    ["with portIsolation", { portIsolation: true }, { hairpin: false, isolated: true }],
    ["with both", { hairpinMode: true, portIsolation: true }, { hairpin: true, isolated: true }],
  ])("%s", (_title, keys, expected) => {
    const { result } = bench.attach(l2Network(keys));
    expect(link(result.interfaces?.[1]?.name ?? "").linkinfo?.info_slave_data).toMatchObject(expected);
  });
});

describe("the container's interface", () => {
  const [args, inArgs, inRuntime] = ["02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03"];
  const argsKey = { args: { cni: { mac: inArgs } } };
  const runtimeKey = { runtimeConfig: { mac: inRuntime } };

  it.each([
    ["CNI_ARGS", {}, args],
    ["args.cni.mac before CNI_ARGS", argsKey, inArgs],
    ["runtimeConfig.mac before all", { ...argsKey, ...runtimeKey }, inRuntime],
    ["an empty value for none", { runtimeConfig: { mac: "" } }, args],
  ])("takes its MAC from %s", (_title, keys, expected) => {
    const { result, sandbox } = bench.attach(bridgeNetwork(keys), { args: `MAC=${args}` });
    expect(result.interfaces?.[2]?.mac).toBe(expected);
    expect(sandbox.ipJson("link", "show", "dev", "eth0")).toMatchObject([{ address: expected }]);
  });

  it("is named by CNI_IFNAME, and a container may have several of one network", () => {
    const first = bench.attach(v4Network(), { containerId: "cid-1" });
    const second = bench.attach(v4Network(), { containerId: "cid-1", ifname: "net1", sandbox: first.sandbox });
    expect([first.v4, second.v4]).toEqual(["10.91.0.2", "10.91.0.3"]);
    bench.detach(second);
    expect(first.sandbox.ping("10.91.0.1")).toBe(true);
    expect(leases()).toEqual(["net1/10.91.0.2"]);
  });

  it("without IPAM is up and has no address", () => {
    const { sandbox, result } = bench.attach(l2Network({ ipam: {} }));
    expect(result).not.toHaveProperty("ips");
    expect(sandbox.ipJson("link", "show", "dev", "eth0")).toMatchObject([{ flags: expect.arrayContaining(["UP"]) }]);
    expect(sandbox.ipJson("-4", "address", "show", "dev", "eth0")).toEqual([]);
    expect(existsSync("/var/lib/cni")).toBe(false);
  });

  it("stays down with disableContainerInterface, which CHECK agrees to", () => {
    const { sandbox, who } = bench.attach(l2Network({ disableContainerInterface: true }));
    expect(sandbox.ipJson<LinkShown>("link", "show", "dev", "eth0")[0]?.flags).not.toContain("UP");
    bench.caller.succeed({ ...who, command: "CHECK" });
    const wanted = bridgeNetwork({ disableContainerInterface: true });
    expect(bench.caller.fail({ ...who, command: "ADD", config: wanted })).toMatchObject({ code: 7, steps: [] });
  });

  it("with enabledad waits until its IPv6 addresses are known to be its own", () => {
    const { sandbox, v6 } = bench.attach(bridgeNetwork({ enabledad: true }));
    const [eth0] = sandbox.ipJson<{ addr_info: { local: string; tentative?: boolean }[] }>(
      "-6",
      "address",
      "show",
      "dev",
      "eth0",
    );
    const own = eth0?.addr_info.find(({ local }) => local === v6);
    expect(own).toBeDefined();
    expect(own).not.toHaveProperty("tentative");
    expect(sandbox.sysctl("net/ipv6/conf/eth0/accept_dad")).toBe("1");
  });

  it("with enabledad fails where another node has the address, and leaves nothing", () => {
    const first = bench.attach(bridgeNetwork());
    const before = nodeSnapshot();
    const sandbox = makeSandbox();
    const ipam = { type: "static", addresses: [{ address: `${first.v6}/64` }] };
    const call = { type: "bridge", command: "ADD", containerId: "cid-9", netns: sandbox.path };
    expect(bench.caller.fail({ ...call, config: bridgeNetwork({ enabledad: true, ipam }) }).msg).toContain(
      `another node has this address`,
    );
    expect(nodeSnapshot()).toEqual(before);
    expect(sandbox.ipJson("link", "show")).toHaveLength(1);
  });
});
