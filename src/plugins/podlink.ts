import { toRouted } from "../attachment/routed.ts";
import { openSandbox } from "../attachment/sandbox.ts";
import { findShapers } from "../attachment/shaping.ts";
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
import type { RulesetChange } from "../firewall/ruleset-change.ts";
import type { Link } from "../link/links.ts";
import { hostLinkName } from "../link/names.ts";
import { NetworkNamespace, type Sandbox } from "../link/namespace.ts";
import { preferSysctls, readSysctlIfAllowed, setSysctl } from "../link/sysctl.ts";
import { findUplink } from "../link/uplink.ts";
import { Failures } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import { Netns } from "../sys/netns.ts";
import { bandwidth } from "./bandwidth.ts";
import { bridge } from "./bridge.ts";
import { attachToBridge, detachFromBridge, type Unprotecting } from "./bridge-attach.ts";
import type { BridgeConfig } from "./bridge-config.ts";
import { firewall } from "./firewall.ts";
import { guardOf, guardRemovalOf, wishesOf } from "./firewall-guard.ts";
import { type PodlinkConfig, podlinkSchema, resolvePodlink } from "./podlink-config.ts";
import { portmap } from "./portmap.ts";
import { mappingOf, noticeOfFormerPorts, unmappingOf } from "./portmap-rules.ts";
import { checkSysctls, requireSysctlsAllowed, requireSysctlsReady, setSysctls } from "./sysctls.ts";

/**
 * A container's whole network in one call, with the defaults an operator of a node would choose.
 *
 * Its addresses come from podlink's own IPAM types even where CNI_PATH leads to another plugin of that name first, as with Debian's containerd
 * and its /usr/lib/cni: those refuse configurations of version 1.1.0, and know neither GC nor STATUS. Both keep the same files, so a lease
 * of the one is one of the other. Whoever wants another plugin's addresses names one that podlink does not contain, or uses type bridge.
 */
export const podlink = definePlugin({
  type: "podlink",
  strict: true,
  ownIpam: true,
  schema: podlinkSchema,
  resolve: resolvePodlink,

  add(call: AddCall<PodlinkConfig>, rollback): Result {
    const { config } = call;
    const attached = attachToBridge({ ...call, config: withMtu(call) }, rollback, {
      shape: config.routed ? toRouted : (leased) => leased,
      // routed, containers send all to the node, which forgets who had an address before (bridge-gateway.ts); of each broadcast the kernel
      // makes a copy for every container there is
      unannounced: config.routed,
      prepare: harden,
      conclude: ({ container }) => tune(container, call, rollback),
      protecting: (host, result) => protecting(host, call, result),
      unprotecting: unprotecting(call),
    });
    return bandwidth.add({ ...call, config: config.bandwidth, prevResult: attached }, rollback);
  },

  check(call: CheckCall<PodlinkConfig>): void {
    const failures = new Failures();
    failures.attempt("check its sysctls", () => checkTuning(call, failures));
    failures.attempt("check the attachment", () => bridge.check(asBridge(call)));
    for (const { plugin, config } of links) {
      failures.attempt(`check its ${plugin.type}`, () => plugin.check({ ...call, config: config(call.config) }));
    }
    failures.throwAny();
  },

  /** What limits the container's traffic goes with the host's end of its pair, and the link it is led through at the same moment. */
  del(call: DelCall<PodlinkConfig>): void {
    detachFromBridge(asBridge(call), {
      unprotecting: (host, present) => [
        ...unprotecting(call)(host, present),
        noticeOfFormerPorts(host, { ...call, config: call.config.portmap }, present),
      ],
      links: (host) => findShapers(host, call.attachment),
    });
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
    requireSysctlsReady(call.config.sysctls("IFNAME"));
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

/** What the container has in nf_tables beside what type bridge gives it: host ports, a guard, and the way to itself through a Service. */
function protecting(host: NetworkNamespace, call: AddCall<PodlinkConfig>, result: Result): RulesetChange[] {
  const { attachment, config } = call;
  const ports = mappingOf(host, { ...call, config: config.portmap }, result);
  const wishes = wishesOf(
    { attachment, config: config.firewall, prevResult: result },
    { bridge: config.bridge.bridge, port: hostLinkName(attachment) },
  );
  return [...(ports === undefined ? [] : [ports]), guardOf(host, call, wishes)];
}

function unprotecting(call: Pick<DelCall<PodlinkConfig>, "attachment" | "config" | "prevResult" | "warn">): Unprotecting {
  const ports = { ...call, config: call.config.portmap };
  return (host, present) => [unmappingOf(host, ports, present), guardRemovalOf(host, call.attachment)];
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
 * With two interfaces upon one bridge, each answers for its own address alone: the node would go on sending to the MAC of one that is gone.
 * A container takes its routes from nobody but us: no router advertisements, no redirects. The node sends none either, where it passes
 * a packet on over the link it came from, as it does between containers of one bridge (a redirect is sent if `all` or the link says so).
 */
function harden({ host, container }: Sandbox, inside: Link, bridgeLink: Link): void {
  preferSysctls(host, {
    "net/ipv4/conf/all/send_redirects": "0",
    [`net/ipv4/conf/${bridgeLink.name}/send_redirects`]: "0",
  });
  preferSysctls(container, {
    [`net/ipv4/conf/${inside.name}/arp_ignore`]: "1",
    [`net/ipv4/conf/${inside.name}/arp_announce`]: "2",
    [`net/ipv4/conf/${inside.name}/accept_redirects`]: "0",
    [`net/ipv6/conf/${inside.name}/accept_redirects`]: "0",
    [`net/ipv6/conf/${inside.name}/accept_ra`]: "0",
  });
}

/** The sysctls that were asked for, after all that we set ourselves. */
function tune(container: NetworkNamespace, call: AddCall<PodlinkConfig>, rollback: Rollback): void {
  const sysctls = call.config.sysctls(call.attachment.ifname);
  if (sysctls.length === 0) return;
  requireSysctlsAllowed(sysctls);
  const before = sysctls.map(({ path }) => ({ path, value: readSysctlIfAllowed(container, path) }));
  rollback.defer("put sysctls back", () => {
    using again = NetworkNamespace.container(Netns.open(call.netns), call.steps);
    for (const { path, value } of before.toReversed()) if (value !== undefined) setSysctl(again, path, value);
  });
  setSysctls(container, sysctls);
}

function checkTuning({ attachment, config, netns, steps }: CheckCall<PodlinkConfig>, failures: Failures): void {
  const sysctls = config.sysctls(attachment.ifname);
  if (sysctls.length === 0) return;
  using sandbox = openSandbox(netns, steps);
  checkSysctls(sandbox.container, failures, sysctls);
}
