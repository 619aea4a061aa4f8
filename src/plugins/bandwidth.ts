import { requireChained } from "../attachment/chained.ts";
import { findHostEnd, NoHostEndError } from "../attachment/host-end.ts";
import { openSandbox } from "../attachment/sandbox.ts";
import { checkShaping, collectShapers, removeShaping, shape } from "../attachment/shaping.ts";
import { CniError, codes } from "../cni/error.ts";
import { type AddCall, type CheckCall, type DelCall, definePlugin, type GcCall, type StatusCall } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { findMissingShapers } from "../link/ifb.ts";
import type { Link } from "../link/links.ts";
import { NetworkNamespace, type Sandbox } from "../link/namespace.ts";
import { during, Failures } from "../support/errors.ts";
import { type BandwidthConfig, bandwidthSchema, resolveBandwidth } from "./bandwidth-config.ts";

/** Ethernet's header, which counts. */
const HEADER_BYTES = 14;

/** Limits what a container receives and sends: drop-in for the reference's type of that name, behind one that makes a veth pair. */
export const bandwidth = definePlugin({
  type: "bandwidth",
  schema: bandwidthSchema,
  resolve: resolveBandwidth,

  add(call: AddCall<BandwidthConfig>, rollback): Result {
    const { attachment, config, netns, steps } = call;
    const prevResult = requireChained(call, `limit the rate of "${attachment.ifname}"`);
    if (config.ingress === undefined && config.egress === undefined) return prevResult;
    using sandbox = openSandbox(netns, steps);
    const port = hostEnd(sandbox, attachment.ifname);
    warnOfSmallBursts(call, port);
    const shaper = during(`limit the rate of "${attachment.ifname}" at "${port.name}"`, () =>
      shape(sandbox.host, port, { attachment, limits: config, rollback, steps }),
    );
    if (shaper === undefined) return prevResult;
    const { name, mac, mtu } = shaper;
    return { ...prevResult, interfaces: [...(prevResult.interfaces ?? []), { name, mac, mtu }] };
  },

  check({ attachment, config, netns, steps }: CheckCall<BandwidthConfig>): void {
    if (config.ingress === undefined && config.egress === undefined) return;
    using sandbox = openSandbox(netns, steps);
    const port = hostEnd(sandbox, attachment.ifname);
    const failures = new Failures();
    checkShaping(sandbox.host, port, { attachment, limits: config, failures });
    failures.throwAny();
  },

  del({ attachment, steps }: DelCall<BandwidthConfig>): void {
    during(`take the limits off "${attachment.ifname}" of "${attachment.containerId}"`, () => removeShaping(attachment, steps));
  },

  gc({ network, steps, valid }: GcCall<BandwidthConfig>): void {
    during(`remove stale limits of network "${network}"`, () => collectShapers(network, { valid, steps }));
  },

  /** Limits that a runtime asks for now and then are no reason to attach no container at all. */
  status({ config, steps, warn }: StatusCall<BandwidthConfig>): void {
    using host = NetworkNamespace.host(steps);
    const missing = findMissingShapers(host);
    if (missing.length === 0) return;
    const message = `Cannot limit rates: this kernel has no ${missing.join(" and no ")}`;
    if (config.fixed) throw new CniError(codes.unavailable, message, { details: "install the kernel's modules, or load them" });
    warn(message);
  },
});

function hostEnd(sandbox: Sandbox, ifname: string): Link {
  try {
    return findHostEnd(sandbox, ifname);
  } catch (error) {
    if (!(error instanceof NoHostEndError)) throw error;
    throw new CniError(codes.invalidConfig, `Cannot limit the rate of "${ifname}": ${error.message}`, {
      details: "rates are limited at the host's end of a veth pair, as the types bridge and ptp make",
      cause: error,
    });
  }
}

function warnOfSmallBursts({ config, warn }: AddCall<BandwidthConfig>, { mtu }: Link): void {
  for (const direction of ["ingress", "egress"] as const) {
    const limit = config[direction];
    if (limit === undefined || limit.burst >= mtu + HEADER_BYTES) continue;
    warn(`"${direction}Burst" is ${limit.burst} bytes: larger packets are dropped, and the MTU is ${mtu}`);
  }
}
