import { array, boolean, type InferOutput, object, optional, string } from "valibot";
import { macOf } from "../cni/args.ts";
import { cidr, dns, ipam, mac, uint32 } from "../cni/config.ts";
import { requireAddresses } from "../cni/convert.ts";
import { CniError, codes, excerpt } from "../cni/error.ts";
import type { ConfigContext } from "../cni/plugin.ts";
import type { Dns } from "../cni/result.ts";
import { normalizeMac } from "../ip/mac.ts";
import { Prefix } from "../ip/prefix.ts";

/** The keys of type `ptp`, as the reference has them; `nonMasqueradeCIDRs`, `enabledad` and the MAC are ours, as type bridge has them. */
export function ptpSchema() {
  return object({
    ipMasq: optional(boolean()),
    ipMasqBackend: optional(string()),
    nonMasqueradeCIDRs: optional(array(cidr)),
    mtu: optional(uint32),
    enabledad: optional(boolean()),
    ipam: optional(ipam),
    dns: optional(dns),
    runtimeConfig: optional(object({ mac: optional(mac) })),
    args: optional(object({ cni: optional(object({ mac: optional(mac) })) })),
  });
}

type PtpKeys = InferOutput<ReturnType<typeof ptpSchema>>;

/** What the verbs of type `ptp` work with. */
export interface PtpConfig {
  /** 0: the kernel's default. */
  readonly mtu: number;
  readonly detectDuplicates: boolean;
  /** What the container sends to the outside leaves the node under the node's address. */
  readonly masquerade: boolean;
  /** Destinations that see the container's own address nevertheless, beside its network. */
  readonly notMasqueraded: readonly Prefix[];
  /** MAC asked for; undefined: any. */
  readonly mac: string | undefined;
  /** Undefined only where nothing is to be attached (DEL, GC). */
  readonly ipamType: string | undefined;
  /** Replaces IPAM's DNS settings when any of its keys is there. */
  readonly dns: Dns | undefined;
}

/** @throws CniError 7 on keys that cannot be served */
export function resolvePtp(keys: PtpKeys, context: ConfigContext): PtpConfig {
  const ipamType = keys.ipam?.type === undefined || keys.ipam.type === "" ? undefined : keys.ipam.type;
  // What an ADD that was refused here left must still go away
  if (context.command !== "DEL" && context.command !== "GC") {
    requireBackend(keys.ipMasqBackend ?? "");
    if (ipamType === undefined) {
      throw invalid(
        'type "ptp" requires an IPAM configuration',
        'it is by addresses that the container is reached: "ipam" needs a "type", host-local for instance',
      );
    }
  }
  if (context.command === "ADD") requireAddresses(context.cniVersion, ipamType !== undefined);
  const wantedMac = keys.runtimeConfig?.mac ?? keys.args?.cni?.mac ?? macOf(context.args);
  return {
    mtu: keys.mtu ?? 0,
    detectDuplicates: keys.enabledad === true,
    masquerade: keys.ipMasq === true,
    notMasqueraded: (keys.nonMasqueradeCIDRs ?? []).map(Prefix.parse),
    mac: wantedMac === undefined ? undefined : normalizeMac(wantedMac),
    ipamType,
    dns: saysAnything(keys.dns) ? (keys.dns as Dns) : undefined,
  };
}

function saysAnything(settings: PtpKeys["dns"]): boolean {
  return settings !== undefined && Object.keys(settings).some((key) => key !== "domain" || settings.domain !== "");
}

/** The values are the reference's; nf_tables serves all of them. */
function requireBackend(backend: string): void {
  if (["", "iptables", "nftables"].includes(backend)) return;
  throw invalid(
    `unknown ipmasq backend ${excerpt(backend)}`,
    'leave "ipMasqBackend" out: podlink masquerades by nf_tables whether it is "iptables" or "nftables"',
  );
}

function invalid(why: string, details: string): CniError {
  return new CniError(codes.invalidConfig, `Cannot use network configuration: ${why}`, { details });
}
