import type { Address, Family } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import { flags, type MessageType } from "../netlink/connection.ts";
import { addressFamily, RTM } from "../netlink/route/message-types.ts";
import { type RouteMessage, RT_SCOPE, RT_TABLE, RTN_UNICAST, RTPROT_BOOT, routeMessage } from "../netlink/route/route.ts";
import { shellWord } from "../support/shell-word.ts";
import { isErrno } from "../sys/errno.ts";
import { anywhere } from "./addresses.ts";
import type { NetworkNamespace } from "./namespace.ts";

/** A route over one link. */
export interface LinkRoute {
  readonly dst: Prefix;
  readonly gateway?: Address | undefined;
  /** Metric; undefined is the kernel's default (IPv4 0, IPv6 1024). */
  readonly priority?: number | undefined;
  /** Undefined is the main table, 254. */
  readonly table?: number | undefined;
  /** RT_SCOPE_*; undefined follows from the gateway: universe with one, link without. */
  readonly scope?: number | undefined;
  /** The address that packets on this way have for their source where nobody chose another; not read back. */
  readonly source?: Address | undefined;
  readonly mtu?: number | undefined;
  readonly advmss?: number | undefined;
  /** RTPROT_*: who makes it; undefined is 3, as `ip route` says of a person's. Not read back. */
  readonly protocol?: number | undefined;
}

/**
 * Adds a route over a link. Several with the same destination may stand side by side (NLM_F_CREATE alone).
 * @throws NetlinkError EEXIST when the very same route is there, ENETUNREACH when the gateway is not on the link
 */
export function addRoute(
  namespace: NetworkNamespace,
  link: { readonly name: string; readonly index: number },
  route: LinkRoute,
): void {
  requestRoute(namespace, link, { route, verb: "prepend", flags: flags.CREATE });
}

/**
 * Adds a route over a link to where no other route of the same metric leads yet.
 * @throws NetlinkError EEXIST when one does, over whatever link
 */
export function addOnlyRoute(
  namespace: NetworkNamespace,
  link: { readonly name: string; readonly index: number },
  route: LinkRoute,
): void {
  requestRoute(namespace, link, { route, verb: "add", flags: flags.CREATE | flags.EXCL });
}

function requestRoute(
  namespace: NetworkNamespace,
  link: { readonly name: string; readonly index: number },
  request: { route: LinkRoute; verb: string; flags: number; type?: MessageType },
): void {
  const { route } = request;
  const table = route.table ?? RT_TABLE.MAIN;
  const scope = route.scope ?? (route.gateway === undefined && route.dst.family === 4 ? RT_SCOPE.LINK : RT_SCOPE.UNIVERSE);
  const metrics = route.mtu === undefined && route.advmss === undefined ? undefined : { mtu: route.mtu, advmss: route.advmss };
  const body = routeMessage.encode({
    family: addressFamily(route.dst.family),
    dstLength: route.dst.length,
    table: table < 256 ? table : RT_TABLE.UNSPEC,
    protocol: route.protocol ?? RTPROT_BOOT,
    scope,
    type: RTN_UNICAST,
    dst: route.dst.length === 0 ? undefined : route.dst.first(),
    outIndex: link.index,
    gateway: route.gateway,
    preferredSource: route.source,
    priority: route.priority,
    metrics,
    tableId: table,
  });
  namespace.change(routeCommand(request.verb, { route, link: link.name }), () =>
    namespace.netlink.change({ type: request.type ?? RTM.NEWROUTE, flags: request.flags, body }),
  );
}

/** `prepend` is what iproute2 calls an addition that does not mind another route of the same destination and metric. */
function routeCommand(verb: string, { route, link }: { route: LinkRoute; link: string }): string {
  const family = route.dst.family === 6 ? "-6 " : ""; // "default" alone is IPv4's
  // left out, it is "link" where there is no gateway
  const scope = route.scope === RT_SCOPE.UNIVERSE && route.gateway === undefined ? " scope global" : "";
  return `ip ${family}route ${verb} ${formatRoute(route)}${scope} dev ${shellWord(link)}`;
}

/** Takes a route over a link away; one that is not there is fine. */
export function deleteRoute(
  namespace: NetworkNamespace,
  link: { readonly name: string; readonly index: number },
  route: LinkRoute,
): void {
  try {
    requestRoute(namespace, link, { route, verb: "del", flags: 0, type: RTM.DELROUTE });
  } catch (error) {
    if (!isErrno(error, "ESRCH")) throw error;
  }
}

/** Routes of one family over a link, in every table but the local one; of a route with several ways, the one over this link. */
export function listRoutes(namespace: NetworkNamespace, link: { readonly index: number }, family: Family): LinkRoute[] {
  const body = routeMessage.encode({ family: addressFamily(family), outIndex: link.index });
  return namespace.netlink
    .dump({ type: RTM.GETROUTE, body })
    .map((reply) => routeMessage.decode(reply))
    .filter((message) => (message.tableId ?? message.table) !== RT_TABLE.LOCAL)
    .flatMap(eachWay)
    .filter((message) => message.outIndex === link.index)
    .map((message) => toLinkRoute(message, family));
}

/** The kernel makes one route with several ways of IPv6 routes that differ in nothing but gateway and link. */
function eachWay(message: RouteMessage): RouteMessage[] {
  return message.nextHops?.map(({ outIndex, gateway }) => ({ ...message, outIndex, gateway })) ?? [message];
}

function toLinkRoute(message: RouteMessage, family: Family): LinkRoute {
  return {
    dst: message.dst === undefined ? anywhere(family) : new Prefix(message.dst, message.dstLength),
    gateway: message.gateway,
    priority: message.priority,
    table: message.tableId ?? message.table,
    scope: message.scope,
    mtu: message.metrics?.mtu,
    advmss: message.metrics?.advmss,
  };
}

/** A route in the words of `ip route`, without the link. */
export function formatRoute(route: LinkRoute): string {
  const words = [route.dst.length === 0 ? "default" : String(route.dst)];
  if (route.gateway !== undefined) words.push(`via ${route.gateway}`);
  if (route.priority !== undefined) words.push(`metric ${route.priority}`);
  if (route.table !== undefined && route.table !== RT_TABLE.MAIN) words.push(`table ${route.table}`);
  if (route.scope !== undefined && route.scope !== RT_SCOPE.UNIVERSE) words.push(`scope ${route.scope}`);
  if (route.protocol !== undefined) words.push(`proto ${route.protocol}`);
  if (route.source !== undefined) words.push(`src ${route.source}`);
  if (route.mtu !== undefined) words.push(`mtu ${route.mtu}`);
  if (route.advmss !== undefined) words.push(`advmss ${route.advmss}`);
  return words.join(" ");
}
