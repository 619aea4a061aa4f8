import type { Address, Family } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import { flags } from "../netlink/connection.ts";
import { addressFamily, RTM } from "../netlink/route/message-types.ts";
import {
  type RouteMessage,
  RT_TABLE,
  RTN_UNICAST,
  RTNH_F_ONLINK,
  RTPROT_RA,
  RTPROT_REDIRECT,
  routeMessage,
} from "../netlink/route/route.ts";
import { shellWord } from "../support/shell-word.ts";
import { isErrno } from "../sys/errno.ts";
import { anywhere } from "./addresses.ts";
import type { NetworkNamespace } from "./namespace.ts";
import type { LinkRoute } from "./routes.ts";

// Routes as the kernel has them, with all that somebody said of them, to be made again in another table.

/** A route of the kernel's, whichever link it leads over and whoever made it. */
export interface KernelRoute {
  readonly dst: Prefix;
  readonly gateway: Address | undefined;
  /** The address that packets on this way have for their source where nobody chose another. */
  readonly source: Address | undefined;
  readonly priority: number | undefined;
  readonly table: number;
  /** RTPROT_*: who made it. */
  readonly protocol: number;
  /** Index of the link that it leads over; undefined for IPv4 routes with several ways, and for those that say unreachable and the like. */
  readonly outIndex: number | undefined;
  /** All the kernel said of it. */
  readonly message: RouteMessage;
}

/** IPv6 packets to these need no route but the link's own, which nobody takes away. */
const LINK_LOCAL = Prefix.parse("fe80::/10");

/** All routes of both families, in every table but the local one. */
export function listKernelRoutes(namespace: NetworkNamespace): KernelRoute[] {
  return ([4, 6] as const).flatMap((family) => {
    const body = routeMessage.encode({ family: addressFamily(family) });
    return namespace.netlink
      .dump({ type: RTM.GETROUTE, body })
      .map((reply) => routeMessage.decode(reply))
      .filter((message) => message.family === addressFamily(family))
      .filter((message) => (message.tableId ?? message.table) !== RT_TABLE.LOCAL)
      .flatMap((message) => (family === 6 ? eachWay(message) : [message]))
      .map((message) => toKernelRoute(message, family));
  });
}

/** Of IPv6 routes that differ in nothing but gateway and link the kernel makes one, and takes each of its ways off alone. */
function eachWay({ nextHops, ...message }: RouteMessage): RouteMessage[] {
  return nextHops?.map(({ outIndex, gateway, flags: bits }) => ({ ...message, outIndex, gateway, flags: bits })) ?? [message];
}

function toKernelRoute(message: RouteMessage, family: Family): KernelRoute {
  return {
    dst: message.dst === undefined ? anywhere(family) : new Prefix(message.dst, message.dstLength),
    gateway: message.gateway,
    source: message.preferredSource,
    priority: message.priority,
    table: message.tableId ?? message.table,
    protocol: message.protocol,
    outIndex: message.type === RTN_UNICAST ? message.outIndex : undefined,
    message,
  };
}

/** Whether the kernel keeps the route by itself: it follows from IPv6 being on, or comes again with the next advertisement. */
export function isAutomatic({ dst, protocol }: KernelRoute): boolean {
  return LINK_LOCAL.contains(dst.address) || protocol === RTPROT_RA || protocol === RTPROT_REDIRECT;
}

/** Routes on the link before those that go through a gateway, which must be on it. */
export function byReach<R extends Pick<LinkRoute, "gateway">>(routes: readonly R[]): R[] {
  const direct = (route: R) => route.gateway === undefined;
  return [...routes.filter(direct), ...routes.filter((route) => !direct(route))];
}

/** Whether another link's route to the same place is in the main table, with which one that comes (back) there would have to share. */
export function isTaken({ dst, outIndex }: KernelRoute, routes: readonly KernelRoute[]): boolean {
  return routes.some((other) => other.table === RT_TABLE.MAIN && other.outIndex !== outIndex && other.dst.equals(dst));
}

type LinkRef = { readonly name: string; readonly index: number };

/** What a route shall be made with instead of what it has. */
export interface RouteChange {
  readonly table: number;
  readonly protocol?: number;
  readonly source?: Address;
}

/** linux/rtnetlink.h, RTA_*: what the kernel tells of a route and takes from nobody, or had another form for beside it. */
const TOLD_ONLY: readonly number[] = [12 /* CACHEINFO */, 23 /* EXPIRES */, 30 /* NH_ID */];

/**
 * Makes a route over the link as another one is, behind those of the same destination and metric. One that is there is fine.
 * @throws NetlinkError EINVAL when its source is no address of the namespace, ENETUNREACH when its gateway is not on the link
 */
export function copyRoute(
  namespace: NetworkNamespace,
  link: LinkRef,
  { route, change }: { route: KernelRoute; change: RouteChange },
): void {
  const { message } = route;
  const changed = { ...route, ...change };
  const body = routeMessage.encode({
    ...message,
    ...inTable(change.table),
    flags: message.flags & RTNH_F_ONLINK,
    protocol: changed.protocol,
    preferredSource: changed.source,
    outIndex: link.index,
    nextHops: undefined,
    unknownAttributes: message.unknownAttributes?.filter(({ type }) => !TOLD_ONLY.includes(type)),
  });
  unless("EEXIST", () =>
    namespace.change(command("append", { route: changed, link }), () =>
      namespace.netlink.change({ type: RTM.NEWROUTE, flags: flags.CREATE | flags.APPEND, body }),
    ),
  );
}

/** Takes a route off; one that is not there is fine. */
export function deleteRoute(namespace: NetworkNamespace, link: LinkRef, route: KernelRoute): void {
  const { family, dstLength, tos, scope, type, dst, gateway, priority } = route.message;
  const body = routeMessage.encode({
    ...{ family, dstLength, tos, scope, type, dst, gateway, priority },
    ...inTable(route.table),
    protocol: route.protocol,
    outIndex: link.index,
  });
  unless("ESRCH", () =>
    namespace.change(command("del", { route, link }), () => namespace.netlink.change({ type: RTM.DELROUTE, body })),
  );
}

/** A failure of this kind does no harm; the record of steps has it. */
function unless(code: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!isErrno(error, code)) throw error;
  }
}

function inTable(table: number): { table: number; tableId: number } {
  return { table: table < 256 ? table : RT_TABLE.UNSPEC, tableId: table };
}

function command(verb: "append" | "del", { route, link }: { route: KernelRoute; link: LinkRef }): string {
  const { dst, gateway, source, priority, table, protocol, message } = route;
  const { metrics } = message;
  const words = [`ip ${dst.family === 6 ? "-6 " : ""}route ${verb} ${dst.length === 0 ? "default" : dst}`];
  if (gateway !== undefined) words.push(`via ${gateway}`);
  words.push(`dev ${shellWord(link.name)} table ${table} proto ${protocol}`);
  if (priority !== undefined) words.push(`metric ${priority}`);
  if (dst.family === 4) words.push(`scope ${message.scope}`); // left out, it follows from the gateway
  if (verb === "del") return words.join(" ");
  if (source !== undefined) words.push(`src ${source}`);
  if (metrics?.mtu !== undefined) words.push(`mtu ${metrics.mtu}`);
  if (metrics?.advmss !== undefined) words.push(`advmss ${metrics.advmss}`);
  if ((message.flags & RTNH_F_ONLINK) !== 0) words.push("onlink");
  return words.join(" ");
}

/** The route in the words of `ip route`, for messages. */
export function describeRoute({ dst, gateway, table }: KernelRoute): string {
  const via = gateway === undefined ? "" : ` via ${gateway}`;
  return `${dst.length === 0 ? "default" : dst}${via}${table === RT_TABLE.MAIN ? "" : ` table ${table}`}`;
}
