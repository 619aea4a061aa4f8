import { expect } from "vitest";
import type { Json } from "../support/call-plugin.ts";
import type { Scenario } from "../support/implementation.ts";

/** A configuration on which both must answer the same and leave the same. */
export interface SameCase extends Omit<Scenario, "type" | "config"> {
  readonly title: string;
  readonly type?: string;
  /** `name`, `type` and `cniVersion` 1.1.0 unless given. */
  readonly config: Json;
  /** Where podlink means to differ in this case alone. */
  readonly apart?: Apart;
}

/** The calls that a case is about, on a bridge `br0` unless it says another. */
export function scenario({ type = "bridge", config, ...rest }: SameCase): Scenario {
  return {
    ...rest,
    type,
    config: { cniVersion: "1.1.0", name: "net1", type, ...(type === "bridge" ? { bridge: "br0" } : {}), ...config },
  };
}

interface Apart {
  readonly why: string;
  /** Parts of what was observed, which are compared with these and no longer with one another. */
  readonly theirs: Json;
  readonly ours: Json;
}

const v4 = { type: "host-local", ranges: [[{ subnet: "10.1.2.0/24" }]] };
const dual = { type: "host-local", ranges: [[{ subnet: "10.1.2.0/24" }], [{ subnet: "fd01::/64" }]] };
const fixed = {
  type: "static",
  addresses: [
    { address: "10.1.2.7/24", gateway: "10.1.2.1" },
    { address: "fd01::7/64", gateway: "fd01::1" },
  ],
};
const gateway = { isGateway: true };
const mac = "c2:11:22:33:44:55";

const checksL2: Apart = {
  why: "a link without addresses can be checked too; the reference asks an IPAM plugin that there is not",
  theirs: { check: { exitCode: 1, output: { code: 999, msg: "no plugin name provided" } } },
  ours: { check: { exitCode: 0, output: undefined } },
};

const convertsLoopback: Apart = {
  why: "a result has the form of the version that it names; the reference prints that of 1.1.0",
  theirs: {
    add: {
      output: {
        ips: [
          { address: "127.0.0.1/8", interface: 0 },
          { address: "::1/128", interface: 0 },
        ],
      },
    },
  },
  ours: { add: { exitCode: 0 } },
};

const versions = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"];

export const same: readonly SameCase[] = [
  { title: "no gateway", config: { ipam: v4 } },
  { title: "gateway", config: { ...gateway, ipam: v4 } },
  { title: "default gateway, dual stack", config: { isDefaultGateway: true, ipam: dual } },
  {
    title: "default gateway beside a default route of IPAM's",
    config: { isDefaultGateway: true, ipam: { ...v4, routes: [{ dst: "0.0.0.0/0", gw: "10.1.2.9" }] } },
  },
  {
    title: "default gateway beside a default route without a gateway",
    config: { isDefaultGateway: true, ipam: { ...v4, routes: [{ dst: "10.0.0.0/8" }] } },
  },
  { title: "IPv6 alone", config: { isDefaultGateway: true, ipam: { type: "host-local", ranges: [[{ subnet: "fd01::/64" }]] } } },
  { title: "IPv6 with duplicate address detection", config: { ...gateway, enabledad: true, ipam: dual } },
  { title: "no bridge named", config: { bridge: undefined, ipam: v4 } },
  { title: "L2", config: {}, apart: checksL2 },
  {
    title: "L2 with an empty ipam, and dns",
    config: { ipam: {}, dns: { nameservers: ["10.1.2.1"], search: ["a.example"] } },
    apart: checksL2,
  },
  { title: "L2, container's end down", config: { disableContainerInterface: true }, apart: checksL2 },
  { title: "mtu", config: { ...gateway, mtu: 1400, ipam: v4 } },
  { title: "hairpin", config: { ...gateway, hairpinMode: true, ipam: v4 } },
  { title: "promiscuous", config: { ...gateway, promiscMode: true, ipam: v4 } },
  { title: "isolated", config: { ...gateway, portIsolation: true, ipam: v4 } },
  { title: "ipMasq, macspoofchk and vlan written down as off", config: { ipMasq: false, macspoofchk: false, vlan: 0, ipam: v4 } },
  {
    title: "MAC of the runtime before that of args",
    config: { runtimeConfig: { mac }, args: { cni: { mac: "c2:00:00:00:00:01" } }, ipam: v4 },
  },
  {
    title: "MAC of args before that of CNI_ARGS",
    config: { args: { cni: { mac } }, ipam: v4 },
    args: "IgnoreUnknown=1;MAC=c2:00:00:00:00:01",
  },
  {
    title: "CNI_ARGS as Kubernetes has them",
    config: { ipam: v4 },
    args: `IgnoreUnknown=1;K8S_POD_NAME=p;IP=10.1.2.77;MAC=${mac};X=y`,
  },
  {
    title: "keys in another case",
    config: { ISGATEWAY: true, Mtu: 1400, IPAM: { Type: "host-local", RANGES: [[{ SubNet: "10.1.2.0/24" }]] } },
  },
  {
    title: "null for what may be absent",
    config: { bridge: null, mtu: null, dns: null, runtimeConfig: null, args: null, ipam: v4 },
  },
  { title: "dns before resolvConf", config: { dns: { domain: "b.example" }, ipam: { ...v4, resolvConf: "/etc/hosts" } } },
  {
    title: "an empty list in dns counts",
    config: { dns: { nameservers: [] }, ipam: { ...fixed, dns: { nameservers: ["10.9.9.9"] } } },
  },
  {
    title: "an empty domain in dns does not",
    config: { dns: { domain: "" }, ipam: { ...fixed, dns: { nameservers: ["10.9.9.9"], options: ["ndots:2"] } } },
  },
  {
    title: "a bridge that is there",
    config: { ...gateway, mtu: 1400, ipam: v4 },
    arrange: ["link add br0 address c2:00:00:00:00:09 type bridge"],
  },
  {
    title: "a bridge with the gateway's address",
    config: { ...gateway, ipam: v4 },
    arrange: ["link add br0 address c2:00:00:00:00:09 type bridge", "address add 10.1.2.1/24 dev br0"],
  },
  {
    title: "forceAddress",
    config: { ...gateway, forceAddress: true, ipam: dual },
    arrange: [
      "link add br0 address c2:00:00:00:00:09 type bridge",
      "address add 10.7.0.1/24 dev br0",
      "address add fd01::99/64 dev br0 nodad",
      "address add fd07::1/64 dev br0 nodad",
    ],
  },
  { title: "static", config: { ...gateway, ipam: fixed } },
  {
    title: "static without gateways",
    config: { ...gateway, ipam: { type: "static", addresses: [{ address: "10.1.2.7/24" }, { address: "fd01::7/64" }] } },
  },
  {
    title: "static with two addresses of one family",
    config: { ipam: { type: "static", addresses: [{ address: "10.1.2.7/24" }, { address: "10.1.3.7/24" }] } },
  },
  {
    title: "static, addresses of the runtime",
    config: { runtimeConfig: { ips: ["10.1.2.70/24", "fd01::70/64"] }, ipam: { type: "static" } },
  },
  {
    title: "static, addresses of CNI_ARGS",
    config: { ipam: { type: "static" } },
    args: "IgnoreUnknown=1;IP=10.1.2.71/24,fd01::71/64;GATEWAY=10.1.2.1,fd01::1",
  },
  { title: "static, addresses of args", config: { args: { cni: { ips: ["10.1.2.72/24"] } }, ipam: { type: "static" } } },
  {
    title: "routes with gateways, priorities, tables",
    config: {
      ipam: {
        ...dual,
        routes: [
          { dst: "0.0.0.0/0" },
          { dst: "10.8.0.0/16", gw: "10.1.2.254" },
          { dst: "10.8.0.0/16", gw: "10.1.2.253", priority: 50 },
          { dst: "10.9.0.0/16", priority: 7, table: 300 },
          { dst: "10.10.1.2/32", table: 30 },
          { dst: "::/0" },
          { dst: "fd08::/32", gw: "fd01::fe", priority: 9 },
          { dst: "fd09::/32", table: 300 },
        ],
      },
    },
    apart: {
      why: "a route in another table is looked for there; the reference misses it in the main one",
      theirs: { check: { exitCode: 1, output: { msg: expect.stringContaining("not found in routing table") } } },
      ours: { check: { exitCode: 0, output: undefined } },
    },
  },
  {
    title: "two ways to one destination",
    config: {
      ipam: {
        ...fixed,
        routes: [
          { dst: "10.8.0.0/16", gw: "10.1.2.2" },
          { dst: "10.8.0.0/16", gw: "10.1.2.3" },
          { dst: "fd08::/32", gw: "fd01::2" },
          { dst: "fd08::/32", gw: "fd01::3" },
        ],
      },
    },
    apart: {
      why: "the kernel makes one IPv6 route of the two, which the reference does not find again",
      theirs: { check: { exitCode: 1, output: { msg: expect.stringContaining("not found in routing table") } } },
      ours: { check: { exitCode: 0, output: undefined } },
    },
  },
  {
    title: "a route with an MTU",
    config: { ipam: { ...v4, routes: [{ dst: "10.8.0.0/16", mtu: 1300, advmss: 1200 }] } },
    apart: {
      why: "the reference takes mtu and advmss of a route from the configuration and forgets them",
      theirs: {
        stateAfterAdd: {
          container: { routes: expect.not.arrayContaining([expect.objectContaining({ metrics: expect.anything() })]) },
        },
      },
      ours: {
        stateAfterAdd: {
          container: {
            routes: expect.arrayContaining([
              expect.objectContaining({ dst: "10.8.0.0/16", metrics: [{ mtu: 1300, advmss: 1200 }] }),
            ]),
          },
        },
      },
    },
  },
  {
    title: "one range, the old way",
    config: {
      ...gateway,
      ipam: { type: "host-local", subnet: "10.1.2.0/24", rangeStart: "10.1.2.30", rangeEnd: "10.1.2.40", gateway: "10.1.2.254" },
    },
  },
  { title: "a range and ranges", config: { ipam: { ...dual, subnet: "10.1.4.0/24" } } },
  {
    title: "two ranges in one set",
    config: {
      ipam: {
        type: "host-local",
        ranges: [[{ subnet: "10.1.2.0/24", rangeStart: "10.1.2.9", rangeEnd: "10.1.2.9" }, { subnet: "10.1.3.0/24" }]],
      },
    },
  },
  {
    title: "a gateway inside the range",
    config: { ipam: { type: "host-local", ranges: [[{ subnet: "10.1.2.0/24", rangeStart: "10.1.2.2", gateway: "10.1.2.2" }]] } },
  },
  { title: "a /30", config: { ...gateway, ipam: { type: "host-local", subnet: "10.1.2.4/30" } } },
  {
    title: "an IPv6 address with a long and a short form",
    config: { ...gateway, ipam: { type: "host-local", subnet: "fd01:0:0:0:0:0:a:0/112", rangeStart: "fd01:0000::a:0010" } },
  },
  {
    title: "ranges of the runtime before its own",
    config: {
      runtimeConfig: { ipRanges: [[{ subnet: "10.1.5.0/24" }]] },
      ipam: { type: "host-local", ranges: [[{ subnet: "fd01::/64" }]] },
    },
  },
  { title: "addresses of the runtime", config: { runtimeConfig: { ips: ["10.1.2.70", "fd01::70/64"] }, ipam: dual } },
  { title: "addresses of args", config: { args: { cni: { ips: ["10.1.2.71"] } }, ipam: v4 } },
  { title: "another data directory", config: { ipam: { ...v4, dataDir: "/var/lib/cni/networks/elsewhere" } } },
  {
    title: "host-local alone",
    type: "host-local",
    config: { ipam: { ...dual, routes: [{ dst: "0.0.0.0/0", mtu: 1400, advmss: 1300, priority: 3, table: 9, scope: 253 }] } },
  },
  {
    title: "static alone",
    type: "static",
    config: {
      ipam: {
        ...fixed,
        routes: [{ dst: "::/0", gw: "fd01::1" }],
        dns: { nameservers: ["10.9.9.9"], domain: "c.example", search: ["d"], options: ["e"] },
      },
    },
  },
  { title: "loopback", type: "loopback", config: {} },
  ...versions.map((cniVersion) => {
    const config = {
      cniVersion,
      isDefaultGateway: true,
      dns: { nameservers: ["10.9.9.9"] },
      ipam: { ...dual, routes: [{ dst: "10.8.0.0/16", priority: 5 }, { dst: "fd08::/32" }] },
    };
    return { title: `version ${cniVersion}`, config };
  }),
  ...versions.map((cniVersion) => ({
    title: `IPv4 alone without dns in version ${cniVersion}`,
    config: { cniVersion, ipam: v4 },
  })),
  ...versions.map((cniVersion) => ({
    title: `host-local in version ${cniVersion}`,
    type: "host-local",
    config: { cniVersion, ipam: dual },
  })),
  ...versions.map((cniVersion) => ({
    title: `loopback in version ${cniVersion}`,
    type: "loopback",
    config: { cniVersion },
    ...(cniVersion === "1.0.0" ? {} : { apart: convertsLoopback }),
  })),
  ...versions.slice(2).map((cniVersion) => ({
    title: `L2 in version ${cniVersion}`,
    config: { cniVersion },
    ...(cniVersion < "0.4.0" ? {} : { apart: checksL2 }),
  })),
];
