import { type InferOutput, integer, maxValue, minValue, number, object, optional, pipe } from "valibot";
import { attachInside, checkInside, detachInside } from "../attachment/inside.ts";
import { statusInside } from "../attachment/inside-status.ts";
import { requireMtu, resolveMaster, verifyMaster } from "../attachment/master.ts";
import { expectSame } from "../attachment/verify.ts";
import { requireAddresses } from "../cni/convert.ts";
import { CniError, codes } from "../cni/error.ts";
import {
  type AddCall,
  type CheckCall,
  type ConfigContext,
  type DelCall,
  definePlugin,
  type GcCall,
  type StatusCall,
} from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import type { Link } from "../link/links.ts";
import { createVlan, vlanId } from "../link/vlan.ts";
import { Failures, reason } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import { isErrno } from "../sys/errno.ts";
import { invalid, isRemoval, resolveUpper, type UpperConfig, upperEntries } from "./inside-config.ts";

const KIND = "vlan";

function vlanSchema() {
  return object({ ...upperEntries(), vlanId: optional(pipe(number(), integer(), minValue(0), maxValue(4094))) });
}

interface VlanConfig extends UpperConfig {
  readonly vlanId: number;
}

function resolveVlan(keys: InferOutput<ReturnType<typeof vlanSchema>>, context: ConfigContext): VlanConfig {
  const upper = resolveUpper(keys);
  if (upper.master === undefined && !isRemoval(context.command)) {
    throw invalid(
      '"master" field is required. It specifies the host interface name to create the VLAN for',
      "a VLAN stands on one link of the node and on no other",
    );
  }
  if (context.command === "ADD") requireAddresses(context.cniVersion, upper.ipamType !== undefined);
  return { ...upper, vlanId: keys.vlanId ?? 0 };
}

/** An interface in one VLAN (802.1Q) of a link of the node: drop-in for the reference's type of that name. */
export const vlan = definePlugin({
  type: "vlan",
  schema: vlanSchema,
  resolve: resolveVlan,

  add(call: AddCall<VlanConfig>, rollback: Rollback): Result {
    const { attachment, config } = call;
    return attachInside(call, rollback, {
      ...config,
      kind: KIND,
      make(sandbox) {
        const master = resolveMaster(sandbox, config);
        requireMtu(config.mtu, master);
        const parent = { link: master, inContainer: config.linkInContainer };
        takingVlan(config.vlanId, master, () =>
          createVlan(sandbox, { id: config.vlanId, mtu: config.mtu, name: attachment.ifname, parent }),
        );
      },
    });
  },

  check(call: CheckCall<VlanConfig>): void {
    const { config } = call;
    const failures = new Failures();
    checkInside(call, failures, {
      ...config,
      kind: KIND,
      verify(link, sandbox) {
        expectSame("its VLAN", { expected: config.vlanId, actual: vlanId(link) });
        verifyMaster(sandbox, link, config);
      },
    });
    failures.throwAny();
  },

  del: (call: DelCall<VlanConfig>): void => detachInside(call, { ...call.config, kind: KIND }),

  /** The interface is the container's alone and goes with it. */
  gc(call: GcCall<VlanConfig>): void {
    if (call.config.ipamType !== undefined) call.delegate(call.config.ipamType).gc();
  },

  status: (call: StatusCall<VlanConfig>): void => statusInside(call, { ...call.config, kind: KIND, upon: call.config }),
});

/** A VLAN of a link is one interface, wherever that is; a second container has to wait until the first is gone. */
function takingVlan(id: number, master: Link, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    throw new CniError(codes.tryAgainLater, `"${master.name}" has an interface for VLAN ${id} already: ${reason(error)}`, {
      details: "a VLAN of a link can be in one namespace only: another container's, or the node's",
      cause: error,
    });
  }
}
