import {
  array,
  boolean,
  exactOptional,
  type InferOutput,
  integer,
  looseObject,
  maxValue,
  minValue,
  number,
  object,
  picklist,
  pipe,
  record,
  string,
  union,
} from "valibot";
import { cidr, dns, ipam, mac } from "../cni/config.ts";
import { CniError, codes } from "../cni/error.ts";
import type { ConfigContext } from "../cni/plugin.ts";
import type { Dns } from "../cni/result.ts";
import { type BandwidthConfig, rates, resolveBandwidth } from "./bandwidth-config.ts";
import { type BridgeConfig, resolveBridge } from "./bridge-config.ts";
import { type FirewallConfig, resolveFirewall } from "./firewall-config.ts";
import { type PortmapConfig, portMapping, resolvePortmap } from "./portmap-config.ts";
import { resolveSysctls, type Sysctls } from "./sysctl-config.ts";

/** The keys of type `podlink`. Their words are the reference's where it has the key; what differs is the default. */
export function podlinkSchema() {
  return object({
    bridge: exactOptional(string()),
    mode: exactOptional(picklist(["routed", "bridged"])),
    ipam,
    isDefaultGateway: exactOptional(boolean()),
    forceAddress: exactOptional(boolean()),
    ipMasq: exactOptional(boolean()),
    nonMasqueradeCIDRs: exactOptional(array(cidr)),
    macspoofchk: exactOptional(boolean()),
    mtu: exactOptional(union([picklist(["auto"]), pipe(number(), integer(), minValue(68), maxValue(65_535))])),
    hairpinMode: exactOptional(boolean()),
    portIsolation: exactOptional(boolean()),
    ingressPolicy: exactOptional(string()),
    hostForward: exactOptional(boolean()),
    enabledad: exactOptional(boolean()),
    sysctl: exactOptional(record(string(), string())),
    dns: exactOptional(dns),
    runtimeConfig: exactOptional(
      looseObject({
        mac: exactOptional(mac),
        dns: exactOptional(runtimeDns()),
        portMappings: exactOptional(array(portMapping)),
        bandwidth: exactOptional(rates()),
      }),
    ),
    args: exactOptional(looseObject({ cni: exactOptional(looseObject({ mac: exactOptional(mac) })) })),
  });
}

/** The capability `dns` (CONVENTIONS.md), whose words are not those of `dns` in a configuration. */
function runtimeDns() {
  const texts = exactOptional(array(string()));
  return object({ servers: texts, searches: texts, options: texts });
}

/** What the verbs of type `podlink` work with. */
export interface PodlinkConfig {
  /** Everything that is also type `bridge`'s; its MTU is 0 where `autoMtu`. */
  readonly bridge: BridgeConfig;
  /** Each container stands alone and reaches its neighbours through the gateway. */
  readonly routed: boolean;
  /** The MTU of the node's default route. */
  readonly autoMtu: boolean;
  readonly portmap: PortmapConfig;
  readonly bandwidth: BandwidthConfig;
  readonly firewall: FirewallConfig;
  /** Of the container's namespace. */
  readonly sysctls: Sysctls;
}

/** @throws CniError 7 on keys that contradict each other */
export function resolvePodlink(keys: InferOutput<ReturnType<typeof podlinkSchema>>, context: ConfigContext): PodlinkConfig {
  const { mode = "routed", mtu = "auto", ...rest } = keys;
  const { dns: wanted, portMappings, bandwidth } = keys.runtimeConfig ?? {};
  const attaching = context.command !== "DEL" && context.command !== "GC";
  if ((keys.ipam.type ?? "") === "" && attaching) {
    throw new CniError(codes.invalidConfig, 'Cannot use network configuration: "ipam" has no "type"', {
      details: 'type "podlink" gives each container an address; a bare link is what type "bridge" is for',
    });
  }
  const bridge = resolveBridge(
    {
      ...rest,
      bridge: keys.bridge === undefined || keys.bridge === "" ? "podlink0" : keys.bridge,
      isGateway: true,
      isDefaultGateway: keys.isDefaultGateway ?? true,
      ipMasq: keys.ipMasq ?? true,
      macspoofchk: keys.macspoofchk ?? true,
      hairpinMode: keys.hairpinMode ?? true,
      mtu: mtu === "auto" ? 0 : mtu,
      ...(wanted === undefined || keys.dns !== undefined ? {} : { dns: toDns(wanted) }),
    },
    context,
  );
  return {
    bridge,
    routed: mode === "routed",
    autoMtu: mtu === "auto",
    portmap: {
      ...resolvePortmap(portMappings === undefined ? {} : { runtimeConfig: { portMappings } }, context),
      reachesItself: true,
    },
    firewall: { ...resolveFirewall({ ingressPolicy: keys.ingressPolicy }, context), forward: keys.hostForward === true },
    // What was refused at ADD must still go away
    sysctls: attaching ? resolveSysctls({ own: keys.sysctl ?? {}, overriding: {} }, context) : () => [],
    bandwidth: resolveBandwidth(bandwidth === undefined ? {} : { runtimeConfig: { bandwidth } }, context),
  };
}

function toDns({ servers, searches, options }: InferOutput<ReturnType<typeof runtimeDns>>): Dns {
  return {
    ...(servers === undefined ? {} : { nameservers: servers }),
    ...(searches === undefined ? {} : { search: searches }),
    ...(options === undefined ? {} : { options }),
  };
}
