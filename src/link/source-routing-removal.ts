import type { Address } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import { RT_TABLE, RTPROT_PODLINK } from "../netlink/route/route.ts";
import { reason } from "../support/errors.ts";
import { listAllAddresses, type PlacedAddress } from "./addresses.ts";
import {
  byReach,
  copyRoute,
  deleteRoute,
  describeRoute,
  isAutomatic,
  isTaken,
  type KernelRoute,
  listKernelRoutes,
} from "./kernel-routes.ts";
import type { NetworkNamespace } from "./namespace.ts";
import { deleteRule, listRules, type Rule } from "./rules.ts";
import { isReservedTable } from "./tables.ts";

type LinkRef = { readonly name: string; readonly index: number };

/** What shall go, beside all that bears podlink's mark. */
export interface Removal {
  /** A table whose routes are not ours, because the configuration names it. */
  readonly table: number | undefined;
  /** Rules without a mark go, too: the reference's plugin leaves such. Their tables' routes over the link go with them. */
  readonly unmarked: boolean;
  /** Addresses that the link had at ADD, where that is known: unmarked rules for these are known by them when no link has them. */
  readonly sources: readonly Address[];
  /** Told of a route that could not be put back. */
  warn(message: string): void;
}

/**
 * Removes the rules for a link's addresses, and for addresses that no link has any more; routes that were moved for them go back to the
 * main table. Under the namespace's lock. That there is nothing is fine.
 * @param link undefined when it is gone; its routes went with it
 */
export function removeSourceRouting(container: NetworkNamespace, link: LinkRef | undefined, options: Removal): void {
  const rules = listRules(container).filter((rule) => rule.plain && rule.source.equals(Prefix.host(rule.source.address)));
  const addresses = listAllAddresses(container);
  const routes = listKernelRoutes(container);
  const mine = rules.filter((rule) => isMine(rule, { link, addresses, routes, options }));
  if (link !== undefined) returnRoutes(container, link, { rules: mine, routes, options });
  for (const rule of mine) deleteRule(container, rule);
}

function isMine(
  rule: Rule,
  known: { link: LinkRef | undefined; addresses: readonly PlacedAddress[]; routes: readonly KernelRoute[]; options: Removal },
): boolean {
  const { link, addresses, routes, options } = known;
  const marked = rule.protocol === RTPROT_PODLINK;
  if (!marked && !(options.unmarked && rule.protocol === 0)) return false;
  const holders = addresses.filter(({ prefix }) => prefix.address.equals(rule.source.address)).map((address) => address.link);
  if (holders.length === 0) return marked || options.sources.some((source) => source.equals(rule.source.address));
  if (link === undefined || !holders.includes(link.index)) return false;
  if (holders.length === 1) return true;
  // Two networks have given the container the same address: the table tells which link it is for
  const ways = routes.filter(({ table }) => table === rule.table).map(({ outIndex }) => outIndex);
  return ways.length === 0 || ways.includes(link.index);
}

function returnRoutes(
  container: NetworkNamespace,
  link: LinkRef,
  { rules, routes, options }: { rules: readonly Rule[]; routes: readonly KernelRoute[]; options: Removal },
): void {
  const over = byReach(routes.filter(({ outIndex }) => outIndex === link.index));
  const hints = over.filter(({ table, protocol }) => table === RT_TABLE.MAIN && protocol === RTPROT_PODLINK);
  for (const hint of hints) deleteRoute(container, link, hint);
  for (const { table, protocol } of rules) {
    if (isReservedTable(table) || table === options.table) continue;
    const moved = over.filter((route) => route.table === table);
    for (const route of moved) {
      const wasMoved = protocol === RTPROT_PODLINK && route.protocol !== RTPROT_PODLINK && !isAutomatic(route);
      if (wasMoved && !isTaken(route, routes) && !isThere(route, routes)) putBack(container, link, { route, options });
    }
    for (const route of moved.toReversed()) deleteRoute(container, link, route);
  }
}

/** It was never taken away, or is back already for another address. */
function isThere(route: KernelRoute, routes: readonly KernelRoute[]): boolean {
  const same = (other: KernelRoute) =>
    other.table === RT_TABLE.MAIN &&
    other.outIndex === route.outIndex &&
    other.protocol === route.protocol &&
    other.priority === route.priority &&
    other.dst.equals(route.dst) &&
    String(other.gateway) === String(route.gateway);
  return routes.some(same);
}

function putBack(container: NetworkNamespace, link: LinkRef, { route, options }: { route: KernelRoute; options: Removal }): void {
  try {
    copyRoute(container, link, { route, change: { table: RT_TABLE.MAIN } });
  } catch (error) {
    options.warn(`Cannot put route ${describeRoute(route)} back into the main table: ${reason(error)}`);
  }
}
