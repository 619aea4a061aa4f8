import { boolean, type InferOutput, object, optional, string } from "valibot";
import { attachInside, checkInside, detachInside } from "../attachment/inside.ts";
import { expectSame } from "../attachment/verify.ts";
import { macOf } from "../cni/args.ts";
import { mac, uint32 } from "../cni/config.ts";
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
import { normalizeMac } from "../ip/mac.ts";
import { MissingKindError } from "../link/kinds.ts";
import { findLink, type Link } from "../link/links.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import { createTap, requireTap, TAP_KIND, tapTraits } from "../link/tap.ts";
import { Failures } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import { type AddressConfig, addressEntries, resolveAddresses } from "./inside-config.ts";

function tapSchema() {
  return object({
    multiQueue: optional(boolean()),
    mtu: optional(uint32),
    mac: optional(mac),
    owner: optional(uint32),
    group: optional(uint32),
    selinuxContext: optional(string()),
    bridge: optional(string()),
    enabledad: optional(boolean()),
    ...addressEntries(),
    runtimeConfig: optional(object({ mac: optional(mac) })),
  });
}

interface TapConfig extends AddressConfig {
  readonly multiQueue: boolean;
  /** 0: the kernel's default. */
  readonly mtu: number;
  /** Undefined: any. */
  readonly mac: string | undefined;
  /** Number of the user and of the group who may open it; undefined: nobody but those who administrate the network. */
  readonly owner: number | undefined;
  readonly group: number | undefined;
  readonly selinuxContext: string | undefined;
  /** Name of a bridge in the container. */
  readonly bridge: string | undefined;
  readonly detectDuplicates: boolean;
}

function resolveTap(keys: InferOutput<ReturnType<typeof tapSchema>>, context: ConfigContext): TapConfig {
  const addresses = resolveAddresses(keys);
  if (context.command === "ADD") requireAddresses(context.cniVersion, addresses.ipamType !== undefined);
  const wanted = keys.runtimeConfig?.mac ?? macOf(context.args) ?? keys.mac;
  const { group, owner } = keys;
  return {
    ...addresses,
    multiQueue: keys.multiQueue === true,
    mtu: keys.mtu ?? 0,
    mac: wanted === undefined ? undefined : normalizeMac(wanted),
    owner,
    group,
    selinuxContext: keys.selinuxContext === "" ? undefined : keys.selinuxContext,
    bridge: keys.bridge === "" ? undefined : keys.bridge,
    detectDuplicates: keys.enabledad === true,
  };
}

/** A TAP device in the container, for a program (a virtual machine, say) to open: drop-in for the reference's type of that name. */
export const tap = definePlugin({
  type: "tap",
  schema: tapSchema,
  resolve: resolveTap,

  add(call: AddCall<TapConfig>, rollback: Rollback): Result {
    const { attachment, config } = call;
    return attachInside(call, rollback, {
      ...config,
      kind: TAP_KIND,
      make({ container }) {
        const bridge = config.bridge === undefined ? undefined : findBridgeInside(container, config.bridge);
        createTap(container, { ...config, name: attachment.ifname, bridge });
      },
    });
  },

  check(call: CheckCall<TapConfig>): void {
    const { config } = call;
    const failures = new Failures();
    checkInside(call, failures, {
      ...config,
      kind: TAP_KIND,
      verify: (link, { container }) => verifyTap(container, link, config),
    });
    failures.throwAny();
  },

  del: (call: DelCall<TapConfig>): void => detachInside(call, { ...call.config, kind: TAP_KIND }),

  /** The device is the container's alone and goes with it. */
  gc(call: GcCall<TapConfig>): void {
    if (call.config.ipamType !== undefined) call.delegate(call.config.ipamType).gc();
  },

  status(call: StatusCall<TapConfig>): void {
    try {
      requireTap();
    } catch (error) {
      if (!(error instanceof MissingKindError)) throw error;
      throw new CniError(codes.unavailable, `Cannot attach containers: ${error.message}`, { cause: error });
    }
    if (call.config.ipamType !== undefined) call.delegate(call.config.ipamType).status();
  },
});

function findBridgeInside(container: NetworkNamespace, name: string): Link {
  const link = findLink(container, name);
  if (link?.kind === "bridge") return link;
  const why = link === undefined ? "there is none" : `the link of that name is no bridge${link.kind ? `, but ${link.kind}` : ""}`;
  throw new CniError(codes.invalidConfig, `Cannot find bridge "${name}" in the container: ${why}`, {
    details: '"bridge" names a bridge that an earlier plugin, or the container, has made in its network namespace',
  });
}

function verifyTap(container: NetworkNamespace, link: Link, config: TapConfig): void {
  const traits = tapTraits(link);
  if (traits === undefined) throw new Error("it is no TAP device");
  if (config.owner !== undefined) expectSame("its owner", { expected: config.owner, actual: traits.owner });
  if (config.group !== undefined) expectSame("its group", { expected: config.group, actual: traits.group });
  expectSame("whether it has several queues", { expected: config.multiQueue, actual: traits.multiQueue });
  if (config.bridge === undefined) return;
  const master = link.master === undefined ? undefined : findLink(container, link.master);
  expectSame("its bridge", { expected: config.bridge, actual: master?.name });
}
