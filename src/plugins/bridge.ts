import { collectHostLinks } from "../attachment/host-links.ts";
import { CniError, codes } from "../cni/error.ts";
import { type AddCall, type CheckCall, type DelCall, definePlugin, type GcCall, type StatusCall } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { findBridge, NotABridgeError } from "../link/bridges.ts";
import { NetworkNamespace } from "../link/namespace.ts";
import { Failures } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import { attachToBridge, detachFromBridge } from "./bridge-attach.ts";
import { checkBridge } from "./bridge-check.ts";
import { type BridgeConfig, bridgeSchema, resolveBridge } from "./bridge-config.ts";
import { collectFirewall, requireFirewall } from "./bridge-firewall.ts";

/** A veth pair from the container to a bridge of the host, with or without addresses: drop-in for the reference's type of that name. */
export const bridge = definePlugin({
  type: "bridge",
  schema: bridgeSchema,
  resolve: resolveBridge,

  add: (call: AddCall<BridgeConfig>, rollback: Rollback): Result => attachToBridge(call, rollback),

  check(call: CheckCall<BridgeConfig>): void {
    const { config } = call;
    const failures = new Failures();
    if (config.ipamType !== undefined) {
      const delegate = call.delegate(config.ipamType);
      failures.attempt("check the addresses with IPAM", () => delegate.check());
    }
    checkBridge(call, failures);
    failures.throwAny();
  },

  del: (call: DelCall<BridgeConfig>): void => detachFromBridge(call),

  gc(call: GcCall<BridgeConfig>): void {
    const { config, network, steps, valid } = call;
    const failures = new Failures();
    failures.attempt(`remove stale links of network "${network}"`, () => collectHostLinks(network, { valid, steps }));
    failures.attempt(`remove stale elements of network "${network}" from nf_tables`, () =>
      collectFirewall(network, { valid, steps }),
    );
    if (config.ipamType !== undefined) {
      const { ipamType } = config;
      failures.attempt(`release stale addresses of network "${network}"`, () => call.delegate(ipamType).gc());
    }
    failures.throwAny();
  },

  status(call: StatusCall<BridgeConfig>): void {
    using host = NetworkNamespace.host(call.steps);
    try {
      findBridge(host, call.config.bridge);
    } catch (error) {
      if (!(error instanceof NotABridgeError)) throw error;
      throw new CniError(codes.unavailable, error.message, {
        details: `remove or rename that link, or set "bridge" to another name`,
        cause: error,
      });
    }
    requireFirewall(host, call.config);
    if (call.config.ipamType !== undefined) call.delegate(call.config.ipamType).status();
  },
});
