import { array, boolean, type InferOutput, integer, maxValue, minValue, number, object, optional, pipe, string } from "valibot";
import { macOf } from "../cni/args.ts";
import { cidr, dns, ipam, mac, uint32 } from "../cni/config.ts";
import { requireAddresses } from "../cni/convert.ts";
import { CniError, codes, excerpt } from "../cni/error.ts";
import type { ConfigContext } from "../cni/plugin.ts";
import type { Dns } from "../cni/result.ts";
import { normalizeMac } from "../ip/mac.ts";
import { Prefix } from "../ip/prefix.ts";
import type { PortVlan } from "../link/bridge-vlans.ts";
import { isLinkName } from "../link/names.ts";

const vlanId = pipe(number(), integer(), minValue(1), maxValue(4094));

const trunkEntry = object({ minID: optional(vlanId), maxID: optional(vlanId), id: optional(vlanId) });

/** The keys of type `bridge`, as the reference has them; `nonMasqueradeCIDRs` is ours. */
export function bridgeSchema() {
  return object({
    bridge: optional(string()),
    isGateway: optional(boolean()),
    isDefaultGateway: optional(boolean()),
    forceAddress: optional(boolean()),
    ipMasq: optional(boolean()),
    ipMasqBackend: optional(string()),
    nonMasqueradeCIDRs: optional(array(cidr)),
    mtu: optional(uint32),
    hairpinMode: optional(boolean()),
    promiscMode: optional(boolean()),
    vlan: optional(pipe(number(), integer(), minValue(0), maxValue(4094))),
    vlanTrunk: optional(array(trunkEntry)),
    preserveDefaultVlan: optional(boolean()),
    macspoofchk: optional(boolean()),
    enabledad: optional(boolean()),
    disableContainerInterface: optional(boolean()),
    portIsolation: optional(boolean()),
    ipam: optional(ipam),
    dns: optional(dns),
    runtimeConfig: optional(object({ mac: optional(mac) })),
    args: optional(object({ cni: optional(object({ mac: optional(mac) })) })),
  });
}

type BridgeKeys = InferOutput<ReturnType<typeof bridgeSchema>>;

/** What the verbs of type `bridge` work with. */
export interface BridgeConfig {
  readonly bridge: string;
  readonly isGateway: boolean;
  readonly isDefaultGateway: boolean;
  readonly forceAddress: boolean;
  /** 0: the kernel's default. */
  readonly mtu: number;
  readonly hairpin: boolean;
  readonly promiscuous: boolean;
  readonly isolated: boolean;
  readonly detectDuplicates: boolean;
  readonly containerUp: boolean;
  /** What the container sends to the outside leaves the node under the node's address. */
  readonly masquerade: boolean;
  /** Destinations that see the container's own address nevertheless, beside its network. */
  readonly notMasqueraded: readonly Prefix[];
  /** Frames from another MAC address than the container's are dropped. */
  readonly spoofCheck: boolean;
  /** Access VLAN of the container; 0: none. */
  readonly vlan: number;
  /** VLANs the port gets beside the bridge's default one. */
  readonly portVlans: readonly PortVlan[];
  /** Whether the bridge filters VLANs at all. */
  readonly vlanFiltering: boolean;
  readonly keepDefaultVlan: boolean;
  /** MAC asked for; undefined: any. */
  readonly mac: string | undefined;
  /** Undefined: the container is attached without addresses. */
  readonly ipamType: string | undefined;
  /** Replaces IPAM's DNS settings when any of its keys is there. */
  readonly dns: Dns | undefined;
}

/** @throws CniError 7 on keys that contradict each other */
export function resolveBridge(keys: BridgeKeys, context: ConfigContext): BridgeConfig {
  // What an ADD that was refused here left must still go away
  if (context.command !== "DEL" && context.command !== "GC") requireBackend(keys.ipMasqBackend ?? "");
  const bridge = keys.bridge === undefined || keys.bridge === "" ? "cni0" : keys.bridge;
  if (!isLinkName(bridge)) {
    throw invalid(
      `"bridge" is ${excerpt(bridge)}`,
      "a link's name has 1 to 15 bytes, no /, no :, no %, no white space and no control characters",
    );
  }
  if (keys.hairpinMode === true && keys.promiscMode === true) {
    throw invalid(
      "cannot set hairpin mode and promiscuous mode at the same time",
      'choose one of "hairpinMode" and "promiscMode"',
    );
  }
  const ipamType = keys.ipam?.type === undefined || keys.ipam.type === "" ? undefined : keys.ipam.type;
  if (keys.disableContainerInterface === true && ipamType !== undefined) {
    throw invalid(
      "cannot use IPAM when disableContainerInterface is set",
      "an interface that stays down has no use for addresses",
    );
  }
  if (context.command === "ADD") requireAddresses(context.cniVersion, ipamType !== undefined);
  const vlan = keys.vlan ?? 0;
  const wantedMac = keys.runtimeConfig?.mac ?? keys.args?.cni?.mac ?? macOf(context.args);
  return {
    bridge,
    isGateway: keys.isGateway === true || keys.isDefaultGateway === true,
    isDefaultGateway: keys.isDefaultGateway === true,
    forceAddress: keys.forceAddress === true,
    mtu: keys.mtu ?? 0,
    hairpin: keys.hairpinMode === true,
    promiscuous: keys.promiscMode === true,
    isolated: keys.portIsolation === true,
    detectDuplicates: keys.enabledad === true,
    containerUp: keys.disableContainerInterface !== true,
    masquerade: keys.ipMasq === true,
    notMasqueraded: (keys.nonMasqueradeCIDRs ?? []).map(Prefix.parse),
    spoofCheck: keys.macspoofchk === true,
    vlan,
    portVlans: portVlans(vlan, keys.vlanTrunk),
    vlanFiltering: vlan !== 0 || keys.vlanTrunk !== undefined,
    keepDefaultVlan: keys.preserveDefaultVlan === true,
    mac: wantedMac === undefined ? undefined : normalizeMac(wantedMac),
    ipamType,
    dns:
      keys.dns !== undefined && Object.keys(keys.dns).some((key) => key !== "domain" || keys.dns?.domain !== "")
        ? (keys.dns as Dns)
        : undefined,
  };
}

/** The values are the reference's; nf_tables serves all of them. */
function requireBackend(backend: string): void {
  if (["", "iptables", "nftables"].includes(backend)) return;
  throw invalid(
    `unknown ipmasq backend ${excerpt(backend)}`,
    'leave "ipMasqBackend" out: podlink masquerades by nf_tables whether it is "iptables" or "nftables"',
  );
}

/** The access VLAN first, then the trunk's in rising order; a trunk without access VLAN keeps VLAN 1 for untagged frames, as the reference has it. */
function portVlans(vlan: number, trunk: BridgeKeys["vlanTrunk"]): PortVlan[] {
  const tagged = new Set<number>();
  for (const { minID, maxID, id } of trunk ?? []) {
    if ((minID === undefined) !== (maxID === undefined)) {
      throw invalid(`"vlanTrunk": ${minID === undefined ? "minID" : "maxID"} is missing`, "minID and maxID come together");
    }
    if (minID !== undefined && maxID !== undefined) {
      if (minID > maxID) throw invalid(`"vlanTrunk": minID ${minID} is greater than maxID ${maxID}`, "a range goes upwards");
      for (let each = minID; each <= maxID; each++) tagged.add(each);
    }
    if (id !== undefined) tagged.add(id);
  }
  const untagged = vlan !== 0 ? vlan : trunk !== undefined ? 1 : undefined;
  return [
    ...(untagged === undefined ? [] : [{ id: untagged, pvid: true, untagged: true }]),
    ...[...tagged].sort((a, b) => a - b).map((id) => ({ id, pvid: false, untagged: false })),
  ];
}

function invalid(why: string, details: string): CniError {
  return new CniError(codes.invalidConfig, `Cannot use network configuration: ${why}`, { details });
}
