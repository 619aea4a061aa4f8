import { describe, expect, it } from "vitest";
import { hostLinkName } from "../../src/link/names.ts";
import { type Attached, Bench, bridgeNetwork, ptpNetwork } from "../support/attach.ts";
import { ipJson, leases, makeSandbox, nodeSnapshot, output } from "../support/node.ts";

// What type ptp makes of each of its keys, as the kernel and `ip` show it.

const bench = new Bench();

interface LinkShown {
  readonly ifname: string;
  readonly address: string;
  readonly mtu: number;
  readonly flags: readonly string[];
  readonly ifalias?: string;
}

interface RouteShown {
  readonly dst: string;
  readonly gateway?: string;
  readonly prefsrc?: string;
  readonly scope?: string;
  readonly table?: string;
}

const hostName = hostLinkName({ network: "net1", containerId: "cid-1", ifname: "eth0" });
const linkOf = (name: string) => ipJson<LinkShown>("link", "show", "dev", name)[0];
const portOf = ({ result }: Attached): string => result.interfaces?.[0]?.name ?? "";

/** Routes of one link as `dst via gateway src address`, without what the kernel adds for the link itself. */
function routes(run: typeof ipJson, family: "-4" | "-6", dev: string): string[] {
  return run<RouteShown>(family, "route", "show", "dev", dev)
    .filter(({ dst }) => !/^fe80|^ff00/.test(dst))
    .map(({ dst, gateway, prefsrc }) =>
      [dst, ...(gateway ? ["via", gateway] : []), ...(prefsrc ? ["src", prefsrc] : [])].join(" "),
    );
}

const insideRoutes = ({ sandbox }: Attached, family: "-4" | "-6", dev = "eth0") =>
  routes(sandbox.ipJson.bind(sandbox), family, dev);

function addressesOf(run: typeof ipJson, dev: string): string[] {
  const [shown] = run<{ addr_info: { local: string; prefixlen: number; scope: string }[] }>("address", "show", "dev", dev);
  return (shown?.addr_info ?? [])
    .filter(({ scope }) => scope === "global")
    .map(({ local, prefixlen }) => `${local}/${prefixlen}`);
}

describe("ADD", () => {
  it("gives the container its addresses, and the network behind the gateway", () => {
    const attached = bench.attach(ptpNetwork());
    const { sandbox } = attached;
    expect(addressesOf(sandbox.ipJson.bind(sandbox), "eth0")).toEqual(["10.91.0.2/24", "fd00:91::2/64"]);
    expect(insideRoutes(attached, "-4").sort()).toEqual([
      "10.91.0.0/24 via 10.91.0.1 src 10.91.0.2",
      "10.91.0.1 src 10.91.0.2",
      "default via 10.91.0.1",
    ]);
    expect(insideRoutes(attached, "-6").sort()).toEqual([
      "default via fd00:91::1",
      "fd00:91::/64 via fd00:91::1 src fd00:91::2",
      "fd00:91::1 src fd00:91::2",
    ]);
  });

  it("gives the node the gateways' addresses alone and a route to each of the container's", () => {
    const attached = bench.attach(ptpNetwork());
    expect(portOf(attached)).toBe(hostName);
    expect(addressesOf(ipJson, hostName)).toEqual(["10.91.0.1/32", "fd00:91::1/128"]);
    expect(routes(ipJson, "-4", hostName)).toEqual(["10.91.0.2"]);
    expect(routes(ipJson, "-6", hostName)).toEqual(["fd00:91::2"]);
    expect(ipJson<RouteShown>("-4", "route", "show", "dev", hostName)).toMatchObject([{ scope: "host" }]);
    const sysctl = (key: string) => output("cat", `/proc/sys/net/${key}`).trim();
    expect([sysctl("ipv4/ip_forward"), sysctl("ipv6/conf/all/forwarding")]).toEqual(["1", "1"]);
    expect(sysctl(`ipv6/conf/${hostName}/accept_ra`)).toBe("0");
  });

  it("answers with both ends, MAC and MTU, and what IPAM said", () => {
    const { result, sandbox } = bench.attach(ptpNetwork({ mtu: 1400 }));
    const [eth0] = sandbox.ipJson<LinkShown>("link", "show", "dev", "eth0");
    expect(result).toEqual({
      cniVersion: "1.1.0",
      interfaces: [
        { name: hostName, mac: linkOf(hostName)?.address, mtu: 1400 },
        { name: "eth0", mac: eth0?.address, mtu: 1400, sandbox: sandbox.path },
      ],
      ips: [
        { address: "10.91.0.2/24", gateway: "10.91.0.1", interface: 1 },
        { address: "fd00:91::2/64", gateway: "fd00:91::1", interface: 1 },
      ],
      routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
    });
    for (const link of [eth0, linkOf(hostName)]) expect(link).toMatchObject({ mtu: 1400, flags: expect.arrayContaining(["UP"]) });
  });

  it("says in the alias whose link it is, as the last change of all", () => {
    const sandbox = makeSandbox();
    const { steps } = bench.caller.succeed({ type: "ptp", command: "ADD", netns: sandbox.path, config: ptpNetwork() });
    expect(linkOf(hostName)?.ifalias).toBe("podlink net1 cid-1 eth0");
    expect(steps.at(-1)).toContain("alias 'podlink net1 cid-1 eth0'");
  });

  it("forwards the families there are and no others", () => {
    bench.attach(ptpNetwork({ ipam: { type: "host-local", ranges: [[{ subnet: "10.91.0.0/24" }]] } }));
    const sysctl = (key: string) => output("cat", `/proc/sys/net/${key}`).trim();
    expect([sysctl("ipv4/ip_forward"), sysctl("ipv6/conf/all/forwarding")]).toEqual(["1", "0"]);
  });

  it("works on a node whose new links have no IPv6", () => {
    output("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1");
    const { sandbox } = bench.attach(ptpNetwork());
    expect(sandbox.ping("fd00:91::1")).toBe(true);
  });

  it("takes several addresses of one network, of others, and such as stand alone", () => {
    const addresses = [
      { address: "10.91.0.7/24", gateway: "10.91.0.1" },
      { address: "10.91.0.8/24", gateway: "10.91.0.1" },
      { address: "10.92.0.7/16", gateway: "10.92.0.1" },
      { address: "10.93.0.7/32", gateway: "169.254.1.1" },
    ];
    const attached = bench.attach(ptpNetwork({ ipam: { type: "static", addresses } }));
    expect(insideRoutes(attached, "-4").sort()).toEqual([
      "10.91.0.0/24 via 10.91.0.1 src 10.91.0.7",
      "10.91.0.1 src 10.91.0.7",
      "10.92.0.0/16 via 10.92.0.1 src 10.92.0.7",
      "10.92.0.1 src 10.92.0.7",
      "169.254.1.1 src 10.93.0.7",
    ]);
    expect(routes(ipJson, "-4", hostName).sort()).toEqual(["10.91.0.7", "10.91.0.8", "10.92.0.7", "10.93.0.7"]);
    for (const gateway of ["10.91.0.1", "10.92.0.1", "169.254.1.1"]) expect(attached.sandbox.ping(gateway)).toBe(true);
    bench.caller.succeed({ ...attached.who, command: "CHECK" });
  });

  it("installs IPAM's routes with MTU, MSS, priority, table and scope", () => {
    const given = [
      { dst: "10.1.0.0/16", gw: "10.91.0.1", mtu: 1300, advmss: 1200, priority: 77 },
      { dst: "10.2.0.0/16", table: 1234 },
      { dst: "10.3.0.0/16", scope: 253 },
      { dst: "10.91.0.0/24", mtu: 1350 }, // instead of ours
      { dst: "fd02::/48", table: 1235 },
    ];
    const ranges = [[{ subnet: "10.91.0.0/24" }], [{ subnet: "fd00:91::/64" }]];
    const { sandbox, who } = bench.attach(ptpNetwork({ ipam: { type: "host-local", ranges, routes: given } }));
    const all = [
      ...sandbox.ipJson<RouteShown>("-4", "route", "show", "table", "all", "dev", "eth0"),
      ...sandbox.ipJson<RouteShown>("-6", "route", "show", "table", "all", "dev", "eth0"),
    ];
    const route = (dst: string) => all.filter((one) => one.dst === dst);
    expect(route("10.1.0.0/16")).toMatchObject([{ gateway: "10.91.0.1", metric: 77, metrics: [{ mtu: 1300, advmss: 1200 }] }]);
    expect(route("10.2.0.0/16")).toMatchObject([{ gateway: "10.91.0.1", table: "1234" }]);
    expect(route("10.3.0.0/16")).toMatchObject([{ scope: "link" }]);
    expect(route("10.91.0.0/24")).toMatchObject([{ gateway: "10.91.0.1", metrics: [{ mtu: 1350 }] }]);
    expect(route("fd02::/48")).toMatchObject([{ gateway: "fd00:91::1", table: "1235" }]);
    bench.caller.succeed({ ...who, command: "CHECK" });
  });

  it("has the configuration's dns where it says anything, else IPAM's", () => {
    const ipam = (last: number) => ({
      type: "static",
      addresses: [{ address: `10.91.0.${last}/24`, gateway: "10.91.0.1" }],
      dns: { nameservers: ["10.9.9.9"] },
    });
    const dnsOf = (last: number, more: object) => bench.attach(ptpNetwork({ ipam: ipam(last), ...more })).result.dns;
    expect(dnsOf(7, {})).toEqual({ nameservers: ["10.9.9.9"] });
    expect(dnsOf(8, { dns: { domain: "" } })).toEqual({ nameservers: ["10.9.9.9"] });
    expect(dnsOf(9, { dns: { search: ["example.org"] } })).toEqual({ search: ["example.org"] });
  });

  it.each([
    ["CNI_ARGS", {}, "02:00:00:00:00:01"],
    ["args.cni.mac", { args: { cni: { mac: "02:00:00:00:00:02" } } }, "02:00:00:00:00:02"],
    ["the runtime", { runtimeConfig: { mac: "02:00:00:00:00:03" } }, "02:00:00:00:00:03"],
  ])("takes the container's MAC from %s", (_title, keys, expected) => {
    const { sandbox } = bench.attach(ptpNetwork(keys), { args: "MAC=02:00:00:00:00:01" });
    expect(sandbox.ipJson("link", "show", "dev", "eth0")).toMatchObject([{ address: expected }]);
  });

  it("does not wait for duplicate detection, unless asked", () => {
    const flags = ({ sandbox }: Attached) =>
      sandbox
        .ipJson<{ addr_info: { local: string; tentative?: boolean; nodad?: boolean }[] }>(
          "-6",
          "address",
          "show",
          "dev",
          "eth0",
        )[0]
        ?.addr_info.find(({ local }) => local.startsWith("fd00"));
    expect(flags(bench.attach(ptpNetwork()))).toMatchObject({ nodad: true });
    const detected = flags(bench.attach(ptpNetwork({ enabledad: true })));
    expect(detected).not.toHaveProperty("nodad");
    expect(detected).not.toHaveProperty("tentative");
  });
});

describe("ADD refuses, and leaves nothing", () => {
  const clean = () => {
    bench.detach(bench.attach(ptpNetwork(), { containerId: "warm" }));
    return nodeSnapshot();
  };

  it("addresses without a gateway, by name", () => {
    const before = clean();
    const sandbox = makeSandbox();
    const addresses = [{ address: "10.91.0.7/24", gateway: "10.91.0.1" }, { address: "fd00:91::7/64" }];
    const call = {
      type: "ptp",
      command: "ADD",
      netns: sandbox.path,
      config: ptpNetwork({ ipam: { type: "static", addresses } }),
    };
    expect(bench.caller.fail(call)).toMatchObject({
      code: 7,
      msg: 'Cannot attach "eth0": IPAM plugin "static" gave no gateway for fd00:91::7/64',
    });
    expect(nodeSnapshot()).toEqual(before);
    expect(sandbox.ipJson("link", "show")).toHaveLength(1);
  });

  it.each(["10.91.0.2/24", "fd00:91::2/64"])("an address that another container has: %s", (address) => {
    const first = bench.attach(ptpNetwork());
    const before = [nodeSnapshot(), first.sandbox.snapshot()];
    const sandbox = makeSandbox();
    const gateway = address.replace(/2\/\d+/, "1");
    const config = ptpNetwork({ name: "net2", ipam: { type: "static", addresses: [{ address, gateway }] } });
    const { code, msg } = bench.caller.fail({ type: "ptp", command: "ADD", containerId: "second", netns: sandbox.path, config });
    expect(code).toBe(11);
    expect(msg).toContain(`leads over link "${hostName}" (podlink net1 cid-1 eth0)`);
    expect([nodeSnapshot(), first.sandbox.snapshot()]).toEqual(before);
    expect(sandbox.ipJson("link", "show")).toHaveLength(1);
    expect(first.sandbox.ping("10.91.0.1")).toBe(true);
  });

  it("an address of the node itself", () => {
    bench.attach(bridgeNetwork());
    const sandbox = makeSandbox();
    const ipam = { type: "static", addresses: [{ address: "10.91.0.1/24", gateway: "10.91.0.9" }] };
    const call = {
      type: "ptp",
      command: "ADD",
      containerId: "second",
      netns: sandbox.path,
      config: ptpNetwork({ name: "net2", ipam }),
    };
    expect(bench.caller.fail(call).msg).toContain(`10.91.0.1 is the node's own address, on "br1"`);
  });
});

describe("several interfaces of one container", () => {
  it("in one network stand beside each other, and one goes without the other", () => {
    const first = bench.attach(ptpNetwork(), { containerId: "both" });
    const second = bench.attach(ptpNetwork(), { containerId: "both", ifname: "eth1", sandbox: first.sandbox });
    for (const { who } of [first, second]) bench.caller.succeed({ ...who, command: "CHECK" });
    bench.detach(first);
    expect(second.sandbox.ping("10.91.0.1")).toBe(true);
    expect(second.sandbox.ping("fd00:91::1")).toBe(true);
    bench.caller.succeed({ ...second.who, command: "CHECK" });
    expect(leases()).toEqual(["net1/10.91.0.3", "net1/fd00:91::3"]);
  });
});
