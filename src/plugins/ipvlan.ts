import { type InferOutput, object, optional, string } from "valibot";
import { attachInside, checkInside, detachInside } from "../attachment/inside.ts";
import { statusInside } from "../attachment/inside-status.ts";
import { requireMtu, resolveMaster, verifyMaster } from "../attachment/master.ts";
import { expectSame } from "../attachment/verify.ts";
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
import { createIpvlan, type IpvlanMode, ipvlanMode, ipvlanModes } from "../link/ipvlan.ts";
import { Failures } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import { invalid, isRemoval, oneOf, resolveUpper, type UpperConfig, upperEntries } from "./inside-config.ts";

const KIND = "ipvlan";

function ipvlanSchema() {
  return object({ ...upperEntries(), mode: optional(string()) });
}

interface IpvlanConfig extends UpperConfig {
  readonly mode: IpvlanMode;
}

function resolveIpvlan(keys: InferOutput<ReturnType<typeof ipvlanSchema>>, { command }: ConfigContext): IpvlanConfig {
  return {
    ...resolveUpper(keys),
    mode: oneOf(keys.mode, { what: "ipvlan mode", words: ipvlanModes, lenient: isRemoval(command) }),
  };
}

/**
 * An interface that shares the MAC address of a link of the node: drop-in for the reference's type of that name. Behind another plugin
 * it takes that one's addresses, unless it has an IPAM plugin of its own.
 */
export const ipvlan = definePlugin({
  type: "ipvlan",
  schema: ipvlanSchema,
  resolve: resolveIpvlan,

  add(call: AddCall<IpvlanConfig>, rollback: Rollback): Result {
    const { attachment, config } = call;
    const known = config.ipamType === undefined && (call.prevResult?.ips ?? []).length > 0 ? call.prevResult : undefined;
    requireAddresses(call.cniVersion, config.ipamType !== undefined || known !== undefined);
    const upon = { ...config, master: config.master ?? masterOf(call.prevResult) };
    return attachInside(call, rollback, {
      ...config,
      known,
      kind: KIND,
      unannounced: true,
      make(sandbox) {
        const master = resolveMaster(sandbox, upon);
        requireMtu(config.mtu, master);
        const parent = { link: master, inContainer: config.linkInContainer };
        createIpvlan(sandbox, { mode: config.mode, mtu: config.mtu, name: attachment.ifname, parent });
      },
    });
  },

  check(call: CheckCall<IpvlanConfig>): void {
    const { config } = call;
    const failures = new Failures();
    checkInside(call, failures, {
      ...config,
      kind: KIND,
      verify(link, sandbox) {
        expectSame("its mode", { expected: config.mode, actual: ipvlanMode(link) });
        verifyMaster(sandbox, link, config);
      },
    });
    failures.throwAny();
  },

  del: (call: DelCall<IpvlanConfig>): void => detachInside(call, { ...call.config, kind: KIND }),

  /** The interface is the container's alone and goes with it. */
  gc(call: GcCall<IpvlanConfig>): void {
    if (call.config.ipamType !== undefined) call.delegate(call.config.ipamType).gc();
  },

  status: (call: StatusCall<IpvlanConfig>): void => statusInside(call, { ...call.config, kind: KIND, upon: call.config }),
});

/** Behind another plugin: the one interface that it made. */
function masterOf(prevResult: Result | undefined): string | undefined {
  if (prevResult === undefined) return undefined;
  const [only, second] = prevResult.interfaces ?? [];
  if (only !== undefined && only.name !== "" && second === undefined) return only.name;
  throw invalid(
    "chained master failure. PrevResult lacks a single named interface",
    '"master" names the link to use; without it, it is the only interface of the plugin before',
  );
}
