import type { Address, Family } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import { RT_TABLE, RTPROT_PODLINK } from "../netlink/route/route.ts";
import { anywhere } from "./addresses.ts";
import { byReach, copyRoute, deleteRoute, isAutomatic, isTaken, type KernelRoute, listKernelRoutes } from "./kernel-routes.ts";
import type { NetworkNamespace } from "./namespace.ts";
import { addRoute } from "./routes.ts";
import { addRule, listRules } from "./rules.ts";
import { Tables } from "./tables.ts";
import { listVrfs } from "./vrf.ts";

// Packets from an address of a link leave over that link: a rule per address leads to a table in which there are routes over the link
// alone. Whose is what needs no record:
//
//   rules      from one address, marked with podlink's protocol number
//   a table    the one a rule leads to; its routes were moved there from the main table and still say who made them
//   routes     with podlink's number are neither moved nor the kernel's: they go when the rule goes

/** Below are numbers that people choose. The reference starts there, too. */
const FIRST_TABLE = 100;

const LINK_LOCAL = Prefix.parse("fe80::/64");

type LinkRef = { readonly name: string; readonly index: number };

/** One address of a link, and where its packets go. */
export interface Source {
  readonly prefix: Prefix;
  /** Undefined: the routes there are will do. */
  readonly gateway: Address | undefined;
}

/** How packets from a link's addresses shall go. */
export interface SourceRouting {
  readonly sources: readonly Source[];
  /** A table in which somebody else has put routes: only rules are made. Undefined: one table for each address, filled with the link's routes. */
  readonly table: number | undefined;
  /** Routes to the link's own networks stay in the main table, for packets that have no source yet. */
  readonly keepNetworks: boolean;
}

/**
 * Makes rules, tables and routes. Under the namespace's lock, and after what an earlier attempt left has been removed.
 * @param wish.warn told that the container has no default route any more
 */
export function installSourceRouting(
  container: NetworkNamespace,
  link: LinkRef,
  wish: SourceRouting & { warn(message: string): void },
): void {
  const { sources, table } = wish;
  if (table !== undefined) {
    for (const { prefix } of sources) addSourceRule(container, prefix, table);
    return;
  }
  const all = listKernelRoutes(container);
  const tables = new Tables(
    listRules(container),
    all,
    listVrfs(container).map((vrf) => vrf.table),
  );
  // What no address's table would get stays where it is, or nobody could put it back
  const routes = byReach(
    all.filter((route) => isMovable(route, link) && sources.some((source) => belongs(route, source, sources))),
  );
  for (const source of sources) {
    const own = tables.take(FIRST_TABLE);
    // The rule first: it marks the table as ours, and as long as a table has no route for a packet the next rule counts
    addSourceRule(container, source.prefix, own);
    fillTable(container, link, { source, table: own, routes: routes.filter((route) => belongs(route, source, sources)) });
  }
  for (const route of routes.toReversed()) leaveMainTable(container, link, { route, wish });
  for (const family of [4, 6] as const) {
    if (!routes.some((route) => route.dst.equals(anywhere(family)) && !isTaken(route, all))) continue;
    wish.warn(`"${link.name}" had the only IPv${family} default route: from now on it is for packets from its addresses alone`);
  }
}

function addSourceRule(container: NetworkNamespace, prefix: Prefix, table: number): void {
  addRule(container, { source: Prefix.host(prefix.address), table, protocol: RTPROT_PODLINK });
}

/** What somebody put into the main table for this link. */
function isMovable(route: KernelRoute, link: LinkRef): boolean {
  return route.outIndex === link.index && route.table === RT_TABLE.MAIN && !isAutomatic(route);
}

/** A route whose gateway or source is in the network of other addresses of the link is none for this one. */
function belongs(route: KernelRoute, { prefix }: Source, all: readonly Source[]): boolean {
  if (route.dst.family !== prefix.family) return false;
  const marks = [route.gateway, route.source].filter((mark) => mark !== undefined);
  const isIn = (network: Prefix) => marks.some((mark) => network.contains(mark));
  return marks.length === 0 || isIn(prefix) || !all.some((other) => isIn(other.prefix));
}

function fillTable(
  container: NetworkNamespace,
  link: LinkRef,
  { source, table, routes }: { source: Source; table: number; routes: readonly KernelRoute[] },
): void {
  const { family } = source.prefix;
  for (const route of routes) copyRoute(container, link, { route, change: { table } });
  const own = { table, protocol: RTPROT_PODLINK };
  // Or the default route would have them
  if (family === 6) addRoute(container, link, { dst: LINK_LOCAL, ...own });
  const { gateway } = source;
  const defaults = routes.filter(({ dst }) => dst.length === 0);
  if (gateway === undefined || defaults.some((route) => route.gateway?.equals(gateway))) return;
  addRoute(container, link, { dst: anywhere(family), gateway, priority: priorityBefore(defaults, family), ...own });
}

/** IPv4 takes the one added last of the same metric first; IPv6 would make one route of several ways. */
function priorityBefore(defaults: readonly KernelRoute[], family: Family): number | undefined {
  if (family === 4 || defaults.length === 0) return undefined;
  return Math.max(1, Math.min(...defaults.map(({ priority = 1 }) => priority)) - 1);
}

function leaveMainTable(
  container: NetworkNamespace,
  link: LinkRef,
  { route, wish }: { route: KernelRoute; wish: SourceRouting },
): void {
  const stays = wish.keepNetworks && route.gateway === undefined;
  if (stays && route.source !== undefined) return;
  deleteRoute(container, link, route);
  const source = hintFor(route, wish.sources);
  if (!stays || source === undefined) return;
  copyRoute(container, link, { route, change: { table: RT_TABLE.MAIN, protocol: RTPROT_PODLINK, source } });
}

/** The address of the link that a packet to there would best come from. */
function hintFor({ dst }: KernelRoute, sources: readonly Source[]): Address | undefined {
  const fitting = sources.filter(({ prefix }) => prefix.family === dst.family);
  return (fitting.find(({ prefix }) => prefix.overlaps(dst)) ?? fitting[0])?.prefix.address;
}
