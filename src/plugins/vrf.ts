import { type InferOutput, object, optional, string } from "valibot";
import { requireChained } from "../attachment/chained.ts";
import { locked } from "../attachment/locked.ts";
import { openSandbox } from "../attachment/sandbox.ts";
import { expectSame, verifyAddresses } from "../attachment/verify.ts";
import { uint32 } from "../cni/config.ts";
import { CniError, codes, excerpt } from "../cni/error.ts";
import { type AddCall, type CheckCall, type ConfigContext, type DelCall, definePlugin, type StatusCall } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { MissingKindError, requireKind } from "../link/kinds.ts";
import { findLink, getLink } from "../link/links.ts";
import { isLinkName } from "../link/names.ts";
import { NetworkNamespace } from "../link/namespace.ts";
import { isReservedTable } from "../link/tables.ts";
import { findVrf, type Vrf } from "../link/vrf.ts";
import { during, Failures } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import { join, leave, planOf, type VrfConfig } from "./vrf-port.ts";

/** The keys of type `vrf`, as the reference has them. */
function vrfSchema() {
  return object({ vrfname: optional(string()), table: optional(uint32) });
}

/** Makes a container's interface a port of a VRF, which has a routing table of its own. Drop-in for the reference's type of that name. */
export const vrf = definePlugin({
  type: "vrf",
  schema: vrfSchema,
  resolve: resolveVrf,

  add(call: AddCall<VrfConfig>, rollback: Rollback): Result {
    const { attachment, config, netns, steps } = call;
    const action = `make "${attachment.ifname}" a port of VRF "${config.vrfname}"`;
    const prevResult = requireChained(call, action);
    using sandbox = openSandbox(netns, steps);
    const { container } = sandbox;
    const link = during(action, () => getLink(container, attachment.ifname));
    during(action, () => locked(container, () => join(call, { container, link, rollback })));
    return prevResult;
  },

  check({ attachment, config, netns, prevResult, steps }: CheckCall<VrfConfig>): void {
    using sandbox = openSandbox(netns, steps);
    const { container } = sandbox;
    const failures = new Failures();
    const found = during("check the VRF", () => findVrf(container, config.vrfname));
    if (found === undefined) failures.attempt(`find VRF "${config.vrfname}"`, notThere);
    else failures.attempt("check the VRF", () => checkVrf(found, config));
    failures.attempt(`check "${attachment.ifname}"`, () => {
      const link = getLink(container, attachment.ifname);
      const master = link.master === undefined ? undefined : findLink(container, link.master)?.name;
      expectSame(`the master of "${link.name}"`, { expected: config.vrfname, actual: master });
      verifyAddresses(container, link, { plan: planOf({ prevResult }, link), failures });
    });
    failures.throwAny();
  },

  del(call: DelCall<VrfConfig>): void {
    leave(call, { keepVrf: false });
  },

  /** Interface, VRF and table are the container's: they went with its namespace, and nothing of them was on the node. */
  gc() {},

  status({ steps }: StatusCall<VrfConfig>): void {
    using host = NetworkNamespace.host(steps);
    try {
      requireKind(host, "vrf");
    } catch (error) {
      if (!(error instanceof MissingKindError)) throw error;
      throw new CniError(codes.unavailable, `Cannot make VRFs: ${error.message}`, { cause: error });
    }
  },
});

/** @throws CniError 7 unless it is to clear away */
function resolveVrf({ vrfname = "", table = 0 }: InferOutput<ReturnType<typeof vrfSchema>>, { command }: ConfigContext) {
  const config: VrfConfig = { vrfname, table: table === 0 ? undefined : table };
  // What was refused at ADD must still go away
  if (command === "DEL" || command === "GC") return config;
  if (!isLinkName(vrfname)) {
    throw new CniError(codes.invalidConfig, "configuration is expected to have a valid vrf name", {
      details: `"vrfname" is ${excerpt(vrfname)}; a link's name has 1 to 15 bytes, no /, no :, no %, no white space and no control characters`,
    });
  }
  if (isReservedTable(table)) {
    throw new CniError(codes.invalidConfig, `Cannot give a VRF table ${table}: it is the kernel's own`, {
      details: `"table" may be any but 253 to 255; left out, it is the first that nobody uses`,
    });
  }
  return config;
}

function notThere(): never {
  throw new Error("it is not there");
}

function checkVrf(found: Vrf, { vrfname, table }: VrfConfig): void {
  if (table !== undefined) expectSame(`the table of "${vrfname}"`, { expected: table, actual: found.table });
  expectSame(`"${vrfname}"`, { expected: "up", actual: found.up ? "up" : "down" });
}
