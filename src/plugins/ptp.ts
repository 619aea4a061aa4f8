import { collectHostLinks } from "../attachment/host-links.ts";
import { type AddCall, type CheckCall, type DelCall, definePlugin, type GcCall, type StatusCall } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { NetworkNamespace } from "../link/namespace.ts";
import { Failures } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import { attachPointToPoint, detachPointToPoint } from "./ptp-attach.ts";
import { checkPointToPoint } from "./ptp-check.ts";
import { type PtpConfig, ptpSchema, resolvePtp } from "./ptp-config.ts";
import { collectStaleMasquerade, requireMasquerade } from "./ptp-masquerade.ts";

/** A veth pair from the container to the node, which routes for it: drop-in for the reference's type of that name. */
export const ptp = definePlugin({
  type: "ptp",
  schema: ptpSchema,
  resolve: resolvePtp,

  add: (call: AddCall<PtpConfig>, rollback: Rollback): Result => attachPointToPoint(call, rollback),

  check(call: CheckCall<PtpConfig>): void {
    const failures = new Failures();
    failures.attempt("check the addresses with IPAM", () => call.delegate(call.config.ipamType ?? "").check());
    checkPointToPoint(call, failures);
    failures.throwAny();
  },

  del: (call: DelCall<PtpConfig>): void => detachPointToPoint(call),

  gc(call: GcCall<PtpConfig>): void {
    const { config, network, steps, valid } = call;
    const failures = new Failures();
    failures.attempt(`remove stale links of network "${network}"`, () => collectHostLinks(network, { valid, steps }));
    failures.attempt(`remove stale elements of network "${network}" from nf_tables`, () =>
      collectStaleMasquerade(network, { valid, steps }),
    );
    if (config.ipamType !== undefined) {
      const { ipamType } = config;
      failures.attempt(`release stale addresses of network "${network}"`, () => call.delegate(ipamType).gc());
    }
    failures.throwAny();
  },

  status(call: StatusCall<PtpConfig>): void {
    using host = NetworkNamespace.host(call.steps);
    requireMasquerade(host, call.config);
    call.delegate(call.config.ipamType ?? "").status();
  },
});
