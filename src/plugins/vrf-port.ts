import type { Addressing } from "../attachment/addressing.ts";
import { isAnothers } from "../attachment/chained.ts";
import { locked } from "../attachment/locked.ts";
import { restoreLostRoutes } from "../attachment/lost-routes.ts";
import { addressingOf } from "../attachment/verify.ts";
import { CniError, codes } from "../cni/error.ts";
import type { AddCall, DelCall } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import type { KernelRoute } from "../link/kernel-routes.ts";
import { deleteLink, findLink, type Link, setUp } from "../link/links.ts";
import { NetworkNamespace } from "../link/namespace.ts";
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
import { reason } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import { Netns } from "../sys/netns.ts";

/** What the verbs of type `vrf` work with. */
export interface VrfConfig {
  readonly vrfname: string;
  /** Undefined: any, and where the VRF has to be made the first that nobody uses. */
  readonly table: number | undefined;
}

/** Makes the container's interface a port of the VRF, which is made if it is not there. @throws CniError 7 when either is something else */
export function join(
  call: AddCall<VrfConfig>,
  { container, link, rollback }: { container: NetworkNamespace; link: Link; rollback: Rollback },
): void {
  const { config } = call;
  const present = existing(container, config);
  if (link.master !== undefined) {
    if (link.master === present?.index) {
      // a former call got as far as this, and perhaps no further
      restoreLostRoutes(container, link, { plan: planOf(call, link), table: present.table });
      return;
    }
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

/** What the plugin before this one in the chain has given the interface. */
export function planOf({ prevResult }: { readonly prevResult: Result | undefined }, link: Link): Addressing {
  if (prevResult === undefined) return { addresses: [], routes: [] };
  const place = (prevResult.interfaces ?? []).findIndex(({ name, sandbox }) => name === link.name && sandbox !== undefined);
  return addressingOf(prevResult, place);
}

/**
 * Takes the interface out, if both are there, and deletes a VRF that has no other.
 * @param options.routes what the interface had before it came in; where nobody knows, those that the chain's result tells of
 */
export function leave(call: DelCall<VrfConfig>, options: { keepVrf: boolean; routes?: readonly KernelRoute[] }): void {
  const { keepVrf, routes } = options;
  const { attachment, config, steps, warn } = call;
  const netns = config.vrfname === "" ? undefined : Netns.tryOpen(call.netns);
  if (netns === undefined) return; // it went with the namespace
  using container = NetworkNamespace.container(netns, steps);
  locked(container, () => {
    const found = findLink(container, config.vrfname)?.kind === "vrf" ? findVrf(container, config.vrfname) : undefined;
    if (found === undefined) return;
    const link = findLink(container, attachment.ifname);
    if (isAnothers(container, link, call)) return;
    if (link !== undefined && [undefined, found.index].includes(link.master)) {
      try {
        if (link.master !== undefined) leaveVrf(container, link, { vrf: found, warn });
        if (routes !== undefined) restoreRoutes(container, link, routes);
        else warning(warn, () => restoreLostRoutes(container, link, { plan: planOf(call, link) }));
      } catch (error) {
        if (findLink(container, link.index) !== undefined) throw error; // else it is gone meanwhile, and its routes with it
      }
    }
    if (!keepVrf && portsOf(container, found).length === 0) deleteLink(container, found.name);
  });
}

function warning(warn: DelCall<VrfConfig>["warn"], work: () => void): void {
  try {
    work();
  } catch (error) {
    warn(`Cannot bring back the routes that a call killed half way took: ${reason(error)}`);
  }
}
