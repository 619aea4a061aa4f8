import type { SameCase } from "./reference-cases.ts";

/** A call that both refuse; what podlink says is more exact where it differs. */
export interface RefusalCase extends SameCase {
  readonly theirs: Refused;
  readonly ours: Refused;
}

interface Refused {
  readonly code: number;
  readonly msg: RegExp;
}

const v4 = { type: "host-local", ranges: [[{ subnet: "10.1.2.0/24" }]] };
const gateway = { isGateway: true };
const mac = "c2:11:22:33:44:55";

/** A call that the reference refuses and podlink carries out. */
export interface AcceptedCase extends SameCase {
  readonly why: string;
  readonly theirs: RegExp;
}

export const accepted: readonly AcceptedCase[] = [
  {
    title: "a route with host bits",
    why: "the kernel refuses such a destination, so podlink hands it the network's",
    config: { ipam: { ...v4, routes: [{ dst: "10.8.1.2/16" }] } },
    theirs: /failed to add route .*: invalid argument/,
  },
  {
    title: "a MAC address in CNI_ARGS without IgnoreUnknown",
    why: "the key is known to the bridge; the reference's IPAM plugin is handed it too and chokes",
    config: { ipam: v4 },
    args: `MAC=${mac}`,
    theirs: /ARGS: unknown args \["MAC=/,
  },
  {
    title: "CNI_ARGS that end with a semicolon",
    why: "nothing is lost by it",
    config: { ipam: v4 },
    args: "IgnoreUnknown=1;",
    theirs: /ARGS: invalid pair ""/,
  },
  {
    title: "an empty bridge name",
    why: "empty means not given, as for every other key",
    config: { bridge: "", ipam: v4 },
    theirs: /could not add ""/,
  },
];

const internal = (msg: RegExp): Refused => ({ code: 999, msg });
const invalid = (msg: RegExp): Refused => ({ code: 7, msg });

export const refused: readonly RefusalCase[] = [
  {
    title: "hairpin and promiscuous mode at once",
    config: { hairpinMode: true, promiscMode: true, ipam: v4 },
    theirs: internal(/cannot set hairpin mode and promiscuous mode at the same time/),
    ours: invalid(/cannot set hairpin mode and promiscuous mode at the same time/),
  },
  {
    title: "IPAM for an interface that stays down",
    config: { disableContainerInterface: true, ipam: v4 },
    theirs: internal(/cannot use IPAM when DisableContainerInterface flag is set/),
    ours: invalid(/cannot use IPAM when disableContainerInterface is set/),
  },
  {
    title: "an IPAM plugin that is nowhere",
    config: { ipam: { type: "nowhere" } },
    theirs: internal(/failed to find plugin "nowhere" in path \[/),
    ours: invalid(/failed to find plugin "nowhere" in path \[/),
  },
  {
    title: "a VLAN out of range",
    config: { vlan: 4095, ipam: v4 },
    theirs: internal(/invalid VLAN ID 4095/),
    ours: invalid(/"vlan"/),
  },
  {
    title: "an MTU in words",
    config: { mtu: "1500", ipam: v4 },
    theirs: internal(/failed to load netconf: json: cannot unmarshal/),
    ours: invalid(/"mtu"/),
  },
  {
    title: "a MAC address that is none",
    config: { runtimeConfig: { mac: "c2:11" }, ipam: v4 },
    theirs: internal(/c2:11/),
    ours: invalid(/"runtimeConfig.mac"/),
  },
  {
    title: "no ranges",
    config: { ipam: { type: "host-local" } },
    theirs: internal(/no IP ranges specified/),
    ours: invalid(/no IP ranges specified/),
  },
  {
    title: "a subnet with host bits",
    config: { ipam: { type: "host-local", subnet: "10.1.2.3/24" } },
    theirs: internal(/invalid range set 0: Network has host bits set/i),
    ours: invalid(/host bits/),
  },
  {
    title: "ranges that overlap",
    config: { ipam: { type: "host-local", ranges: [[{ subnet: "10.1.0.0/16" }], [{ subnet: "10.1.2.0/24" }]] } },
    theirs: internal(/overlap/),
    ours: invalid(/overlap/),
  },
  {
    title: "an address outside of all ranges",
    config: { ipam: v4, runtimeConfig: { ips: ["10.9.9.9"] } },
    theirs: internal(/failed to allocate all requested IPs: 10\.9\.9\.9/),
    ours: invalid(/10\.9\.9\.9/),
  },
  {
    title: "the gateway's address asked for",
    config: { ipam: v4, runtimeConfig: { ips: ["10.1.2.1"] } },
    theirs: internal(/requested ip 10\.1\.2\.1 is subnet's gateway/),
    ours: invalid(/10\.1\.2\.1.*gateway/),
  },
  {
    title: "arguments that nobody knows",
    config: { ipam: v4 },
    args: "FOO=bar",
    theirs: internal(/ARGS: unknown args \["FOO=bar"\]/),
    ours: { code: 4, msg: /unknown args \["FOO=bar"\]/ },
  },
  {
    title: "an argument without a value's sign",
    config: { ipam: v4 },
    args: "FOO",
    theirs: internal(/ARGS: invalid pair "FOO"/),
    ours: { code: 4, msg: /invalid pair "FOO"/ },
  },
  {
    title: "a version that does not exist",
    config: { cniVersion: "9.9.9", ipam: v4 },
    theirs: { code: 1, msg: /^incompatible CNI versions$/ },
    ours: { code: 1, msg: /^incompatible CNI versions$/ },
  },
  {
    title: "no name",
    config: { name: "", ipam: v4 },
    theirs: invalid(/^missing network name$/),
    ours: invalid(/^missing network name$/),
  },
  {
    title: "a name with a slash",
    config: { name: "a/b", ipam: v4 },
    theirs: invalid(/^invalid characters found in network name$/),
    ours: invalid(/^invalid characters found in network name$/),
  },
  {
    title: "a bridge's name that another kind of link has",
    config: { ipam: v4 },
    arrange: ["link add br0 type veth peer name br1"],
    theirs: internal(/"br0" already exists but is not a bridge/),
    ours: invalid(/"br0" as a bridge: a link of that name exists and is of kind veth/),
  },
  {
    title: "a bridge with another address",
    config: { ...gateway, ipam: v4 },
    arrange: ["link add br0 address c2:00:00:00:00:09 type bridge", "address add 10.7.0.1/24 dev br0"],
    theirs: internal(/"br0" already has an IP address different from 10\.1\.2\.1\/24/),
    ours: invalid(/"br0" already has an IP address different from 10\.1\.2\.1\/24: 10\.7\.0\.1\/24/),
  },
  {
    title: "a route over a gateway that is nowhere",
    config: { ipam: { ...v4, routes: [{ dst: "10.8.0.0/16", gw: "192.0.2.1" }] } },
    theirs: internal(/failed to add route .*: network is unreachable/),
    ours: internal(/10\.8\.0\.0\/16 via 192\.0\.2\.1.*Network is unreachable|ENETUNREACH/),
  },
];
