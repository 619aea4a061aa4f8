import { requireChained } from "../attachment/chained.ts";
import { findHostEnd, NoHostEndError } from "../attachment/host-end.ts";
import { openSandbox } from "../attachment/sandbox.ts";
import { CniError, codes } from "../cni/error.ts";
import {
  type AddCall,
  type Attachment,
  type CheckCall,
  type DelCall,
  definePlugin,
  type GcCall,
  type StatusCall,
} from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { checkForwarding, collectForwarding, forwardedLinks } from "../firewall/forwarding.ts";
import { checkIngressPolicy, collectIngressPolicies } from "../firewall/ingress-policy.ts";
import { noticeOfForwardRules } from "../firewall/iptables-leftovers.ts";
import { changeRuleset } from "../firewall/ruleset-change.ts";
import { Address } from "../ip/address.ts";
import { findLink } from "../link/links.ts";
import { NetworkNamespace, type Sandbox } from "../link/namespace.ts";
import { transaction } from "../link/nftables.ts";
import { during, Failures, reason } from "../support/errors.ts";
import type { Steps } from "../support/steps.ts";
import { type FirewallConfig, firewallSchema, resolveFirewall } from "./firewall-config.ts";
import { guardOf, guardRemovalOf, type HostEnd, warnOfObstacles, wishesOf } from "./firewall-guard.ts";

/**
 * Lets a container's traffic through other people's chains that drop what is forwarded, and says from which containers it can be reached:
 * drop-in for the reference's type of that name, behind one that makes an interface.
 */
export const firewall = definePlugin({
  type: "firewall",
  schema: firewallSchema,
  resolve: resolveFirewall,

  add(call: AddCall<FirewallConfig>, rollback): Result {
    const { attachment, netns, steps } = call;
    const prevResult = requireChained(call, `guard "${attachment.ifname}"`);
    if (!call.config.forward && call.config.policy === undefined) return prevResult;
    using sandbox = openSandbox(netns, steps);
    const { host } = sandbox;
    const wishes = wishesOf({ ...call, prevResult }, findHostSide(sandbox, attachment));
    rollback.defer(`open "${attachment.ifname}" of "${attachment.containerId}" again`, () => forget(attachment, steps));
    during(`guard "${attachment.ifname}" of "${attachment.containerId}"`, () =>
      changeRuleset(host, [guardOf(host, call, wishes)]),
    );
    return prevResult;
  },

  check(call: CheckCall<FirewallConfig>): void {
    using sandbox = openSandbox(call.netns, call.steps);
    const { host } = sandbox;
    const { place, policy, forwarding } = wishesOf(call, findHostSide(sandbox, call.attachment));
    const failures = new Failures();
    if (place !== undefined && policy !== undefined) checkIngressPolicy(host, failures, { ...place, policy });
    if (forwarding !== undefined) checkForwarding(host, failures, forwarding);
    failures.throwAny();
  },

  del({ attachment, prevResult, steps, warn }: DelCall<FirewallConfig>): void {
    const addresses = (prevResult?.ips ?? []).flatMap(({ address }) => Address.tryParse(address.split("/")[0] ?? "") ?? []);
    using host = NetworkNamespace.host(steps);
    during(`remove the guard of "${attachment.ifname}" of "${attachment.containerId}"`, () =>
      changeRuleset(host, [guardRemovalOf(host, attachment), noticeOfForwardRules(host, { addresses, warn })]),
    );
  },

  gc({ network, steps, valid }: GcCall<FirewallConfig>): void {
    using host = NetworkNamespace.host(steps);
    during(`remove stale guards of network "${network}"`, () =>
      transaction(host, (batch) => {
        collectIngressPolicies(host, batch, { network, valid });
        collectForwarding(host, batch, { network, valid });
      }),
    );
  },

  /** What is in the way of forwarding is told and no more: attaching works, and the node's operator may know what is to be dropped. */
  status(call: StatusCall<FirewallConfig>): void {
    using host = NetworkNamespace.host(call.steps);
    try {
      host.nftables.generation();
    } catch (error) {
      throw new CniError(codes.unavailable, `Cannot use nf_tables: ${reason(error)}`, {
        details: "the kernel needs CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET, and the caller CAP_NET_ADMIN",
        cause: error,
      });
    }
    if (!call.config.forward) return;
    const links = forwardedLinks(host, call.network);
    for (const link of links.length === 0 ? ["BRIDGE"] : links) warnOfObstacles(host, { link, families: [4, 6] }, call);
  },
});

function forget(attachment: Attachment, steps: Steps): void {
  using host = NetworkNamespace.host(steps);
  changeRuleset(host, [guardRemovalOf(host, attachment)]);
}

/** The host's end of the container's interface, and the bridge it is a port of; neither where it is no veth pair. */
function findHostSide(sandbox: Sandbox, attachment: Attachment): HostEnd {
  try {
    const { name, master } = findHostEnd(sandbox, attachment.ifname);
    const over = master === undefined ? undefined : findLink(sandbox.host, master);
    return over?.kind === "bridge" ? { bridge: over.name, port: name } : { port: name };
  } catch (error) {
    if (error instanceof NoHostEndError) return {};
    throw new Error(`Cannot guard "${attachment.ifname}" in the container: ${reason(error)}`, { cause: error });
  }
}
