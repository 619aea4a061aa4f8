import { type InferOutput, object } from "valibot";
import { attachInside, checkInside, detachInside } from "../attachment/inside.ts";
import { statusInside } from "../attachment/inside-status.ts";
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
import { createDummy } from "../link/dummy.ts";
import { Failures } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import { type AddressConfig, addressEntries, invalid, isRemoval, resolveAddresses } from "./inside-config.ts";

const KIND = "dummy";

function dummySchema() {
  return object(addressEntries());
}

function resolveDummy(keys: InferOutput<ReturnType<typeof dummySchema>>, { command }: ConfigContext): AddressConfig {
  const addresses = resolveAddresses(keys);
  if (addresses.ipamType === undefined && !isRemoval(command)) {
    throw invalid("dummy interface requires an IPAM configuration", "it is there for its addresses; nothing is sent through it");
  }
  return addresses;
}

/** An interface with addresses that leads nowhere: drop-in for the reference's type of that name. */
export const dummy = definePlugin({
  type: "dummy",
  schema: dummySchema,
  resolve: resolveDummy,

  add(call: AddCall<AddressConfig>, rollback: Rollback): Result {
    return attachInside(call, rollback, {
      ...call.config,
      kind: KIND,
      unannounced: true,
      make: (sandbox) => createDummy(sandbox, call.attachment.ifname),
    });
  },

  check(call: CheckCall<AddressConfig>): void {
    const failures = new Failures();
    checkInside(call, failures, { ...call.config, kind: KIND });
    failures.throwAny();
  },

  del: (call: DelCall<AddressConfig>): void => detachInside(call, { ...call.config, kind: KIND }),

  /** The interface is the container's alone and goes with it. */
  gc(call: GcCall<AddressConfig>): void {
    if (call.config.ipamType !== undefined) call.delegate(call.config.ipamType).gc();
  },

  status: (call: StatusCall<AddressConfig>): void => statusInside(call, { ...call.config, kind: KIND }),
});
