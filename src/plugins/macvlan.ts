import { type InferOutput, object, optional, string } from "valibot";
import { attachInside, checkInside, detachInside } from "../attachment/inside.ts";
import { statusInside } from "../attachment/inside-status.ts";
import { requireMtu, resolveMaster, verifyMaster } from "../attachment/master.ts";
import { expectSame } from "../attachment/verify.ts";
import { macOf } from "../cni/args.ts";
import { mac, uint32 } from "../cni/config.ts";
import { requireAddresses } from "../cni/convert.ts";
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
import { normalizeMac } from "../ip/mac.ts";
import { createMacvlan, type MacvlanMode, macvlanMode, macvlanModes } from "../link/macvlan.ts";
import { Failures } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import { isRemoval, oneOf, resolveUpper, type UpperConfig, upperEntries } from "./inside-config.ts";

const KIND = "macvlan";

function macvlanSchema() {
  return object({
    ...upperEntries(),
    mode: optional(string()),
    mac: optional(mac),
    bcqueuelen: optional(uint32),
    runtimeConfig: optional(object({ mac: optional(mac) })),
  });
}

interface MacvlanConfig extends UpperConfig {
  readonly mode: MacvlanMode;
  /** Undefined: any. */
  readonly mac: string | undefined;
  /** 0: the kernel's default. */
  readonly bcQueueLength: number;
}

function resolveMacvlan(keys: InferOutput<ReturnType<typeof macvlanSchema>>, context: ConfigContext): MacvlanConfig {
  const upper = resolveUpper(keys);
  if (context.command === "ADD") requireAddresses(context.cniVersion, upper.ipamType !== undefined);
  const wanted = keys.runtimeConfig?.mac ?? macOf(context.args) ?? keys.mac;
  return {
    ...upper,
    mode: oneOf(keys.mode, { what: "macvlan mode", words: macvlanModes, lenient: isRemoval(context.command) }),
    mac: wanted === undefined ? undefined : normalizeMac(wanted),
    bcQueueLength: keys.bcqueuelen ?? 0,
  };
}

/** An interface with a MAC address of its own upon a link of the node: drop-in for the reference's type of that name. */
export const macvlan = definePlugin({
  type: "macvlan",
  schema: macvlanSchema,
  resolve: resolveMacvlan,

  add(call: AddCall<MacvlanConfig>, rollback: Rollback): Result {
    const { attachment, config } = call;
    return attachInside(call, rollback, {
      ...config,
      kind: KIND,
      make(sandbox) {
        const master = resolveMaster(sandbox, config);
        requireMtu(config.mtu, master);
        const parent = { link: master, inContainer: config.linkInContainer };
        createMacvlan(sandbox, { ...config, name: attachment.ifname, parent });
      },
    });
  },

  check(call: CheckCall<MacvlanConfig>): void {
    const { config } = call;
    const failures = new Failures();
    checkInside(call, failures, {
      ...config,
      kind: KIND,
      verify(link, sandbox) {
        expectSame("its mode", { expected: config.mode, actual: macvlanMode(link) });
        verifyMaster(sandbox, link, config);
      },
    });
    failures.throwAny();
  },

  del: (call: DelCall<MacvlanConfig>): void => detachInside(call, { ...call.config, kind: KIND }),

  /** The interface is the container's alone and goes with it. */
  gc(call: GcCall<MacvlanConfig>): void {
    if (call.config.ipamType !== undefined) call.delegate(call.config.ipamType).gc();
  },

  status: (call: StatusCall<MacvlanConfig>): void => statusInside(call, { ...call.config, kind: KIND, upon: call.config }),
});
