import { addressFamily, RTM } from "../netlink/route/message-types.ts";
import { RT_TABLE, routeMessage } from "../netlink/route/route.ts";
import { findLink, type Link } from "./links.ts";
import type { NetworkNamespace } from "./namespace.ts";

/** Where struct rtmsg (linux/rtnetlink.h) has the length of the destination, which is 0 for a default route. */
const DST_LENGTH = 1;

/** The link over which the namespace reaches the rest of the world: that of its first default route, IPv4 before IPv6. */
export function findUplink(namespace: NetworkNamespace): Link | undefined {
  for (const family of [4, 6] as const) {
    // Not by table: of one that never had a route the kernel says that it does not exist
    const body = routeMessage.encode({ family: addressFamily(family) });
    const route = namespace.netlink
      .dump({ type: RTM.GETROUTE, body })
      .filter((reply) => reply[DST_LENGTH] === 0) // before it is read: each link has several routes of IPv6
      .map((reply) => routeMessage.decode(reply))
      .filter((message) => (message.tableId ?? message.table) === RT_TABLE.MAIN)
      .sort((a, b) => (a.priority ?? 0) - (b.priority ?? 0))[0];
    const index = route?.outIndex ?? route?.nextHops?.[0]?.outIndex;
    if (index !== undefined) return findLink(namespace, index);
  }
  return undefined;
}
