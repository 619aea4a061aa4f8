import { type InferOutput, object, optional, string } from "valibot";
import { isAnothers, requireChained } from "../attachment/chained.ts";
import { locked } from "../attachment/locked.ts";
import { openSandbox } from "../attachment/sandbox.ts";
import { addressingOf, expectSame, verifyAddresses } from "../attachment/verify.ts";
import { uint32 } from "../cni/config.ts";
import { CniError, codes, excerpt } from "../cni/error.ts";
import { type AddCall, type CheckCall, type ConfigContext, type DelCall, definePlugin, type StatusCall } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import type { KernelRoute } from "../link/kernel-routes.ts";
import { MissingKindError, requireKind } from "../link/kinds.ts";
import { deleteLink, findLink, getLink, type Link, setUp } from "../link/links.ts";
import { isLinkName } from "../link/names.ts";
import { NetworkNamespace } from "../link/namespace.ts";
import { isReservedTable } from "../link/tables.ts";
import {
  createVrf,
  findVrf,
  freeTable,
  joinVrf,
  leaveVrf,
  NotAVrfError,
  portsOf,
  restoreRoutes,
  routesOver,
  type Vrf,
} from "../link/vrf.ts";
import { during, Failures } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import { Netns } from "../sys/netns.ts";

/** The keys of type `vrf`, as the reference has them. */
function vrfSchema() {
  return object({ vrfname: optional(string()), table: optional(uint32) });
}

/** What the verbs of type `vrf` work with. */
interface VrfConfig {
  readonly vrfname: string;
  /** Undefined: any, and where the VRF has to be made the first that nobody uses. */
  readonly table: number | undefined;
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
      const place = (prevResult.interfaces ?? []).findIndex(
        ({ name, sandbox: path }) => name === link.name && path !== undefined,
      );
      verifyAddresses(container, link, { plan: addressingOf(prevResult, place), failures });
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

function join(
  call: AddCall<VrfConfig>,
  { container, link, rollback }: { container: NetworkNamespace; link: Link; rollback: Rollback },
): void {
  const { config } = call;
  const present = existing(container, config);
  if (link.master !== undefined) {
    if (link.master === present?.index) return;
    const master = findLink(container, link.master)?.name ?? link.master;
    throw new CniError(codes.invalidConfig, `"${link.name}" already has a master: "${master}"`, {
      details: "an interface is a port of one bridge, bond or VRF at most",
    });
  }
  const routes = routesOver(container, link);
  rollback.defer(`take "${link.name}" out of the VRF`, () => leave(call, { keepVrf: present !== undefined, routes }));
  const { vrfname, table } = config;
  const joined = present ?? createVrf(container, { name: vrfname, table: table ?? freeTable(container) });
  if (!joined.up) setUp(container, joined);
  joinVrf(container, link, { vrf: joined });
}

/** The VRF of that name that is there already. @throws CniError 7 when it is none, or has another table */
function existing(container: NetworkNamespace, { vrfname, table }: VrfConfig): Vrf | undefined {
  let found: Vrf | undefined;
  try {
    found = findVrf(container, vrfname);
  } catch (error) {
    if (!(error instanceof NotAVrfError)) throw error;
    throw new CniError(codes.invalidConfig, error.message, { details: 'choose another name for "vrfname"', cause: error });
  }
  if (found === undefined || table === undefined || found.table === table) return found;
  throw new CniError(codes.invalidConfig, `VRF ${vrfname} already exist with different routing table ${found.table}`, {
    details: `"table" is ${table}; the VRF is in the container already`,
  });
}

function notThere(): never {
  throw new Error("it is not there");
}

function checkVrf(found: Vrf, { vrfname, table }: VrfConfig): void {
  if (table !== undefined) expectSame(`the table of "${vrfname}"`, { expected: table, actual: found.table });
  expectSame(`"${vrfname}"`, { expected: "up", actual: found.up ? "up" : "down" });
}

/**
 * Takes the interface out, if both are there, and deletes a VRF that has no other.
 * @param options.routes what the interface had before it came in
 */
function leave(call: DelCall<VrfConfig>, options: { keepVrf: boolean; routes?: readonly KernelRoute[] }): void {
  const { keepVrf, routes = [] } = options;
  const { attachment, config, steps, warn } = call;
  const netns = config.vrfname === "" ? undefined : Netns.tryOpen(call.netns);
  if (netns === undefined) return; // it went with the namespace
  using container = NetworkNamespace.container(netns, steps);
  locked(container, () => {
    const found = findLink(container, config.vrfname)?.kind === "vrf" ? findVrf(container, config.vrfname) : undefined;
    if (found === undefined) return;
    const link = findLink(container, attachment.ifname);
    if (isAnothers(container, link, call)) return;
    if (link !== undefined && link.master === found.index) {
      try {
        leaveVrf(container, link, { vrf: found, warn });
        restoreRoutes(container, link, routes);
      } catch (error) {
        if (findLink(container, link.index) !== undefined) throw error; // else it is gone meanwhile, and its routes with it
      }
    }
    if (!keepVrf && portsOf(container, found).length === 0) deleteLink(container, found.name);
  });
}
