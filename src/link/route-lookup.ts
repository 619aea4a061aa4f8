import { type Address, BITS } from "../ip/address.ts";
import { addressFamily, RTM } from "../netlink/route/message-types.ts";
import { RTM_F_FIB_MATCH, RTN_LOCAL, routeMessage } from "../netlink/route/route.ts";
import { isErrno } from "../sys/errno.ts";
import { findLink, type Link } from "./links.ts";
import type { NetworkNamespace } from "./namespace.ts";

/** Where the namespace would send a packet for this address, as `ip route get` tells; undefined where it would not. */
function lookUp(namespace: NetworkNamespace, address: Address, options: { flags?: number } = {}) {
  const { family } = address;
  const body = routeMessage.encode({ family: addressFamily(family), dstLength: BITS[family], dst: address, ...options });
  try {
    return routeMessage.decode(namespace.netlink.get({ type: RTM.GETROUTE, body }));
  } catch (error) {
    // The last three: a route that says unreachable, prohibit or blackhole
    if (isErrno(error, "ENETUNREACH", "EHOSTUNREACH", "EACCES", "EINVAL")) return undefined;
    throw error;
  }
}

/** The link on which the address is a neighbour; undefined where the way there leads through a gateway, or there is none. */
export function linkToNeighbour(namespace: NetworkNamespace, address: Address): Link | undefined {
  const route = lookUp(namespace, address);
  if (route === undefined || route.type === RTN_LOCAL || route.gateway !== undefined) return undefined;
  return route.outIndex === undefined ? undefined : findLink(namespace, route.outIndex);
}

/** Whether the address is the namespace's own. */
export function isOwnAddress(namespace: NetworkNamespace, address: Address): boolean {
  return lookUp(namespace, address)?.type === RTN_LOCAL;
}

/** The link over which a route for this one address alone leads, and whether the address is the namespace's own; undefined where there is no such route. */
export function holderOf(namespace: NetworkNamespace, address: Address): { link: Link | undefined; own: boolean } | undefined {
  const route = lookUp(namespace, address, { flags: RTM_F_FIB_MATCH });
  if (route === undefined || route.dstLength !== BITS[address.family]) return undefined;
  const link = route.outIndex === undefined ? undefined : findLink(namespace, route.outIndex);
  return { link, own: route.type === RTN_LOCAL };
}
