import { IFF } from "../netlink/route/link.ts";
import { RT_TABLE, RTPROT_KERNEL } from "../netlink/route/route.ts";
import { during, reason } from "../support/errors.ts";
import { shellWord } from "../support/shell-word.ts";
import { byReach, copyRoute, describeRoute, isAutomatic, isTaken, type KernelRoute, listKernelRoutes } from "./kernel-routes.ts";
import { creating } from "./kinds.ts";
import { createLink, findLink, getLink, type Link, listLinks, setLink } from "./links.ts";
import type { NetworkNamespace } from "./namespace.ts";
import { listRules } from "./rules.ts";
import { preferSysctls, readSysctl } from "./sysctl.ts";
import { Tables } from "./tables.ts";

// A VRF is a link with a routing table: what is a port of it sees the routes of that table and no others.

export interface Vrf {
  readonly name: string;
  readonly index: number;
  readonly table: number;
  readonly up: boolean;
}

/** Another kind of link has the VRF's name. */
export class NotAVrfError extends Error {
  constructor({ name, kind }: Link) {
    super(`Cannot use "${name}" as a VRF: a link of that name exists and is ${kind === undefined ? "none" : `of kind ${kind}`}`);
  }
}

export function listVrfs(namespace: NetworkNamespace): Vrf[] {
  return listLinks(namespace, { kind: "vrf" }).map(toVrf);
}

/** The VRF of this name, or undefined. @throws NotAVrfError */
export function findVrf(namespace: NetworkNamespace, name: string): Vrf | undefined {
  const link = findLink(namespace, name);
  if (link === undefined) return undefined;
  if (link.kind !== "vrf") throw new NotAVrfError(link);
  return toVrf(link);
}

function toVrf({ name, index, kindData, up }: Link): Vrf {
  return { name, index, up, table: kindData !== undefined && "table" in kindData ? (kindData.table ?? 0) : 0 };
}

/** Makes a VRF that is up. @throws MissingKindError */
export function createVrf(namespace: NetworkNamespace, { name, table }: { name: string; table: number }): Vrf {
  creating("vrf", () =>
    createLink(namespace, `ip link add ${shellWord(name)} up type vrf table ${table}`, {
      name,
      flags: IFF.UP,
      change: IFF.UP,
      linkInfo: { kind: "vrf", data: { table } },
    }),
  );
  return toVrf(getLink(namespace, name));
}

/** The first table that no VRF, no rule and no route uses. */
export function freeTable(namespace: NetworkNamespace): number {
  const others = listVrfs(namespace).map(({ table }) => table);
  return new Tables(listRules(namespace), listKernelRoutes(namespace), others).take(1);
}

type Warn = (message: string) => void;

/**
 * Makes a link a port of a VRF. Its addresses stay, and its routes of the main table come along. The kernel takes the link down and up for
 * it, at which IPv6 addresses go unless they are told to stay, and all routes that the kernel itself did not make.
 * @throws Error when one of them cannot be made again: `restoreRoutes` brings them back once the link has left the VRF
 */
export function joinVrf(namespace: NetworkNamespace, link: Link, { vrf }: { vrf: Vrf }): void {
  const change = { command: `master ${shellWord(vrf.name)}`, message: { master: vrf.index } };
  moveLink(namespace, link, { change, from: RT_TABLE.MAIN, to: vrf.table, keeping: during });
}

/** The routes over a link that do not live through its joining or leaving a VRF. */
export function routesOver(namespace: NetworkNamespace, link: Link): KernelRoute[] {
  return byReach(listKernelRoutes(namespace).filter((route) => isLost(route, link)));
}

/** Makes those routes over a link again that are there no more. */
export function restoreRoutes(namespace: NetworkNamespace, link: Link, routes: readonly KernelRoute[]): void {
  for (const route of routes) copyRoute(namespace, link, { route, change: { table: route.table } });
}

/**
 * Takes a link out of its VRF, with its addresses; its routes go back to the main table, unless another link has one to there.
 * @param options.warn told of a route that did not survive
 */
export function leaveVrf(namespace: NetworkNamespace, link: Link, { vrf, warn }: { vrf: Vrf; warn: Warn }): void {
  const change = { command: "nomaster", message: { master: 0 } };
  const keeping = (action: string, work: () => void): void => {
    try {
      work();
    } catch (error) {
      warn(`Cannot ${action}: ${reason(error)}`);
    }
  };
  moveLink(namespace, link, { change, from: vrf.table, to: RT_TABLE.MAIN, keeping });
}

interface Move {
  readonly change: Parameters<typeof setLink>[2];
  readonly from: number;
  readonly to: number;
  /** Makes one of the routes again, and says what happens when that cannot be done. */
  readonly keeping: (action: string, work: () => void) => void;
}

function moveLink(namespace: NetworkNamespace, link: Link, { change, from, to, keeping }: Move): void {
  const routes = listKernelRoutes(namespace);
  keepingAddresses(namespace, link.name, () => setLink(namespace, link, change));
  for (const route of byReach(routes.filter((each) => isLost(each, link)))) {
    const table = route.table === from ? to : route.table;
    if (table === RT_TABLE.MAIN && isTaken(route, routes)) continue;
    keeping(`keep route ${describeRoute(route)} of "${link.name}"`, () => {
      copyRoute(namespace, link, { route, change: { table } });
    });
  }
}

/** Routes that follow from addresses come again by themselves, in the right table. */
function isLost(route: KernelRoute, { index }: Link): boolean {
  return route.outIndex === index && route.protocol !== RTPROT_KERNEL && !isAutomatic(route);
}

function keepingAddresses(namespace: NetworkNamespace, link: string, work: () => void): void {
  const key = `net/ipv6/conf/${link}/keep_addr_on_down`;
  const before = readSysctl(namespace, key);
  preferSysctls(namespace, { [key]: "1" });
  try {
    work();
  } finally {
    if (before !== undefined) preferSysctls(namespace, { [key]: before });
  }
}

/** The links that are ports of a VRF. */
export function portsOf(namespace: NetworkNamespace, { index }: Vrf): Link[] {
  return listLinks(namespace, { master: index }).filter(({ master }) => master === index);
}
