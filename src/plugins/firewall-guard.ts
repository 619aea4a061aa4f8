import { CniError, codes } from "../cni/error.ts";
import type { Attachment, CheckCall, StatusCall } from "../cni/plugin.ts";
import { forwardObstacles } from "../firewall/forward-obstacles.ts";
import { addForwarding, deleteForwarding, type ForwardingWish } from "../firewall/forwarding.ts";
import { addIngressPolicy, deleteIngressPolicy, type IngressPolicy, type PolicyPlace } from "../firewall/ingress-policy.ts";
import type { RulesetChange } from "../firewall/ruleset-change.ts";
import { isHostLinkName, networkLinkPrefix } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import type { FirewallConfig } from "./firewall-config.ts";

/** Where an attachment's host end is: the bridge, if it is a port of one, and its name, if there is such an end. */
export interface HostEnd {
  readonly bridge?: string | undefined;
  readonly port?: string | undefined;
}

/** What a configuration asks for, for one attachment. */
export interface Wishes {
  /** Undefined for an interface that is on no bridge. */
  readonly place: PolicyPlace | undefined;
  readonly policy: IngressPolicy | undefined;
  /** Undefined for an interface without addresses, or one whose traffic the host does not forward. */
  readonly forwarding: ForwardingWish | undefined;
}

/** @throws CniError 7 when a policy is asked for an interface that is on no bridge */
export function wishesOf(
  { attachment, config, prevResult }: Pick<CheckCall<FirewallConfig>, "attachment" | "config" | "prevResult">,
  { bridge, port }: HostEnd,
): Wishes {
  const place = bridge === undefined || port === undefined ? undefined : { attachment, bridge, port };
  if (config.policy !== undefined && place === undefined) {
    const msg = `Cannot use network configuration: "ingressPolicy" is "${config.policy}", and "${attachment.ifname}" is on no bridge`;
    throw new CniError(codes.invalidConfig, msg, { details: "the policy speaks of bridges: use it behind a type that has one" });
  }
  const addresses = (prevResult.ips ?? []).map(({ address }) => address);
  const families = ([4, 6] as const).filter((family) => addresses.some((each) => each.includes(":") === (family === 6)));
  // Host links on no bridge go by the start of their names, which says the network: one rule for all of them
  const link = bridge ?? (port !== undefined && isHostLinkName(port) ? `${networkLinkPrefix(attachment.network)}*` : undefined);
  const wanted = config.forward && link !== undefined && families.length > 0;
  const forwarding = wanted ? { attachment, link, families } : undefined;
  return { place, policy: config.policy, forwarding };
}

/** Makes the wishes hold, and no others. */
export function guardOf(
  host: NetworkNamespace,
  { attachment, warn }: Pick<StatusCall<unknown>, "warn"> & { readonly attachment: Attachment },
  { forwarding, place, policy }: Wishes,
): RulesetChange {
  return {
    put(batch) {
      if (place !== undefined && policy !== undefined) addIngressPolicy(host, batch, { ...place, policy });
      else deleteIngressPolicy(host, batch, attachment);
      if (forwarding !== undefined) addForwarding(host, batch, forwarding);
      else deleteForwarding(host, batch, attachment);
    },
    finish() {
      if (forwarding !== undefined) warnOfObstacles(host, forwarding, { warn });
    },
  };
}

/** Forgets an attachment's wishes; there being none is fine. */
export function guardRemovalOf(host: NetworkNamespace, attachment: Attachment): RulesetChange {
  return {
    put(batch) {
      deleteIngressPolicy(host, batch, attachment);
      deleteForwarding(host, batch, attachment);
    },
  };
}

/** Tells what keeps a link's traffic from being forwarded and is not for podlink to open. */
export function warnOfObstacles(
  host: NetworkNamespace,
  wish: Pick<ForwardingWish, "link" | "families">,
  { warn }: Pick<StatusCall<unknown>, "warn">,
): void {
  for (const { chain, command } of forwardObstacles(host, wish)) {
    warn(`traffic of "${wish.link}" may not be forwarded: ${chain}; to open it: ${command}`);
  }
}
