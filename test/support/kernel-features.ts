import { spawnSync } from "node:child_process";

/** What some kernels lack: the option that it is built with, and how `ip` makes one of it beside a veth pair, probe0 and probe1. */
const features = {
  bond: { option: "CONFIG_BONDING", link: "link add probe2 type bond" },
  dummy: { option: "CONFIG_DUMMY", link: "link add probe2 type dummy" },
  ifb: { option: "CONFIG_IFB", link: "link add probe2 type ifb" },
  ipvlan: { option: "CONFIG_IPVLAN", link: "link add link probe0 name probe2 type ipvlan" },
  ipvtap: { option: "CONFIG_IPVTAP", link: "link add link probe0 name probe2 type ipvtap" },
  macvlan: { option: "CONFIG_MACVLAN", link: "link add link probe0 name probe2 type macvlan" },
  macvtap: { option: "CONFIG_MACVTAP", link: "link add link probe0 name probe2 type macvtap" },
  tun: { option: "CONFIG_TUN", link: "tuntap add name probe2 mode tap" },
  vlan: { option: "CONFIG_VLAN_8021Q", link: "link add link probe0 name probe2 type vlan id 2" },
  vrf: { option: "CONFIG_NET_VRF", link: "link add probe2 type vrf table 10" },
} as const;

const BRIDGE_VLANS = "CONFIG_BRIDGE_VLAN_FILTERING";

export type KernelFeature = keyof typeof features | "bridge-vlans";

const known = new Map<KernelFeature, boolean>();

/** Whether this kernel has all of these, asked of the kernel itself in a network namespace that goes at once. */
export function supports(...wanted: readonly KernelFeature[]): boolean {
  return wanted.every((feature) => {
    const answer = known.get(feature) ?? probe(feature);
    known.set(feature, answer);
    return answer;
  });
}

/**
 * The end of a title of tests that are skipped without `supports(…)`: ` (needs CONFIG_VLAN_8021Q)`. It is there on every kernel:
 * scripts/test-kernels finds by it the tests that it runs on kernels which have more than this machine's.
 */
export function needs(...wanted: readonly KernelFeature[]): string {
  const options = wanted.map((feature) => (feature === "bridge-vlans" ? BRIDGE_VLANS : features[feature].option));
  return options.length === 0 ? "" : ` (needs ${options.join(", ")})`;
}

/** `needs()` of each that this kernel lacks. */
export function lacking(): string[] {
  const all = [...(Object.keys(features) as (keyof typeof features)[]), "bridge-vlans" as const];
  return all.filter((feature) => !supports(feature)).map((feature) => needs(feature));
}

function probe(feature: KernelFeature): boolean {
  const commands = ["link add probe0 type veth peer name probe1"];
  // A kernel without it makes the bridge all the same
  if (feature === "bridge-vlans") commands.push("link add probe2 type bridge vlan_filtering 1", "link show dev probe2");
  else commands.push(features[feature].link);
  const input = commands.map((command) => `${command}\n`).join("");
  const { error, status, stdout } = spawnSync("unshare", ["--net", "ip", "-details", "-batch", "-"], { input, encoding: "utf8" });
  if (error !== undefined) throw error;
  return status === 0 && (feature !== "bridge-vlans" || stdout.includes(" vlan_filtering 1 "));
}
