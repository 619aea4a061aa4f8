import { toRouted } from "../attachment/routed.ts";
import {
  type AddCall,
  type Call,
  type CheckCall,
  type DelCall,
  definePlugin,
  type GcCall,
  type Plugin,
  type StatusCall,
} from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { deleteHostPorts } from "../firewall/host-ports.ts";
import { addSelfPairs, checkSelfPairs } from "../firewall/self-pairs.ts";
import type { Address } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import type { Link } from "../link/links.ts";
import { NetworkNamespace, type Sandbox } from "../link/namespace.ts";
import { transaction } from "../link/nftables.ts";
import { preferSysctls } from "../link/sysctl.ts";
import { findUplink } from "../link/uplink.ts";
import { Failures } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import { bandwidth } from "./bandwidth.ts";
import { bridge } from "./bridge.ts";
import { attachToBridge } from "./bridge-attach.ts";
import type { BridgeConfig } from "./bridge-config.ts";
import { firewall } from "./firewall.ts";
import { type PodlinkConfig, podlinkSchema, resolvePodlink } from "./podlink-config.ts";
import { portmap } from "./portmap.ts";

/** A container's whole network in one call, with the defaults an operator of a node would choose. */
export const podlink = definePlugin({
  type: "podlink",
  strict: true,
  schema: podlinkSchema,
  resolve: resolvePodlink,

  add(call: AddCall<PodlinkConfig>, rollback): Result {
    const { config } = call;
    const shape = config.routed ? toRouted : (leased: Result) => leased;
    const attached = attachToBridge({ ...call, config: withMtu(call) }, rollback, { shape, prepare: harden });
    const result = links.reduce(
      (prevResult, link) => link.plugin.add({ ...call, config: link.config(config), prevResult }, rollback),
      attached,
    );
    reachItself(call, { result, rollback });
    return result;
  },

  check(call: CheckCall<PodlinkConfig>): void {
    const failures = new Failures();
    failures.attempt("check the attachment", () => bridge.check(asBridge(call)));
    for (const { plugin, config } of links) {
      failures.attempt(`check its ${plugin.type}`, () => plugin.check({ ...call, config: config(call.config) }));
    }
    using host = NetworkNamespace.host(call.steps);
    checkSelfPairs(host, failures, { attachment: call.attachment, addresses: addressesOf(call.prevResult) });
    failures.throwAny();
  },

  /** The attachment goes last, as in a chain of single plugins; what fails before keeps nothing else from going. */
  del(call: DelCall<PodlinkConfig>): void {
    const failures = new Failures();
    for (const { plugin, config } of links.toReversed()) {
      failures.attempt(`clear its ${plugin.type}`, () => plugin.del({ ...call, config: config(call.config) }));
    }
    failures.attempt("detach it", () => bridge.del(asBridge(call)));
    failures.throwAny();
  },

  gc(call: GcCall<PodlinkConfig>): void {
    const failures = new Failures();
    failures.attempt("clear stale attachments", () => bridge.gc(asBridge(call)));
    for (const { plugin, config } of links) {
      failures.attempt(`clear stale ${plugin.type}`, () => plugin.gc({ ...call, config: config(call.config) }));
    }
    failures.throwAny();
  },

  status(call: StatusCall<PodlinkConfig>): void {
    bridge.status(asBridge(call));
    for (const { plugin, config } of links) plugin.status({ ...call, config: config(call.config) });
  },
});

/** What comes after the attachment, in order, each with its part of the configuration. */
const links: readonly { readonly plugin: Plugin; config(of: PodlinkConfig): unknown }[] = [
  { plugin: portmap, config: (of) => of.portmap },
  { plugin: firewall, config: (of) => of.firewall },
  { plugin: bandwidth, config: (of) => of.bandwidth },
];

/** Also through a Service; it goes with the host ports (portmap), whether there are any or not. */
function reachItself({ attachment, steps }: AddCall<PodlinkConfig>, parts: { result: Result; rollback: Rollback }): void {
  using host = NetworkNamespace.host(steps);
  const addresses = addressesOf(parts.result);
  transaction(host, (batch) => addSelfPairs(host, batch, { attachment, addresses }));
  parts.rollback.defer("forget that it may reach itself", () => {
    using again = NetworkNamespace.host(steps);
    transaction(again, (batch) => void deleteHostPorts(again, batch, attachment));
  });
}

function addressesOf({ ips = [] }: Result): Address[] {
  return ips.map(({ address }) => Prefix.parse(address).address);
}

function asBridge<T extends Call<PodlinkConfig>>(call: T): Omit<T, "config"> & { readonly config: BridgeConfig } {
  return { ...call, config: call.config.bridge };
}

/** Packets for outside leave over the default route: longer ones than that carries would be cut or lost there. */
function withMtu({ config, steps }: AddCall<PodlinkConfig>): BridgeConfig {
  if (!config.autoMtu) return config.bridge;
  using host = NetworkNamespace.host(steps);
  return { ...config.bridge, mtu: findUplink(host)?.mtu ?? 0 };
}

/**
 * A container takes its routes from nobody but us: no router advertisements, no redirects. The node sends none either, where it passes
 * a packet on over the link it came from, as it does between containers of one bridge (a redirect is sent if `all` or the link says so).
 */
function harden({ host, container }: Sandbox, inside: Link, bridgeLink: Link): void {
  preferSysctls(host, {
    "net/ipv4/conf/all/send_redirects": "0",
    [`net/ipv4/conf/${bridgeLink.name}/send_redirects`]: "0",
  });
  preferSysctls(container, {
    [`net/ipv4/conf/${inside.name}/accept_redirects`]: "0",
    [`net/ipv6/conf/${inside.name}/accept_redirects`]: "0",
    [`net/ipv6/conf/${inside.name}/accept_ra`]: "0",
  });
}
