import { NetlinkConnection } from "../netlink/connection.ts";
import { OPER_UP } from "../netlink/route/link.ts";
import { RTMGRP } from "../netlink/route/message-types.ts";
import { now } from "../support/clock.ts";
import { isErrno } from "../sys/errno.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../sys/socket.ts";
import { getLink, type Link } from "./links.ts";
import type { NetworkNamespace } from "./namespace.ts";

/**
 * Looks until `look` finds what it looks for, woken by the kernel's notifications, with one deadline for all.
 * The first look comes before anything is set up; only if it is too early is a listening socket opened, and then looked again.
 * @param options.groups RTMGRP_* that tell of the change
 * @returns what was found, or undefined at the deadline
 */
export function waitFor<T>(
  namespace: NetworkNamespace,
  options: { look: () => T | undefined; groups: number; timeoutMs: number },
): T | undefined {
  const first = options.look();
  if (first !== undefined) return first;
  const deadline = now() + options.timeoutMs;
  using events = new NetlinkConnection(namespace.inside(() => NetlinkSocket.open(NETLINK_ROUTE, options.groups)));
  for (;;) {
    const found = options.look();
    if (found !== undefined) return found;
    const left = deadline - now();
    if (left <= 0) return undefined;
    try {
      events.listen(left);
    } catch (error) {
      if (!isErrno(error, "ENOBUFS")) throw error; // more notifications than the socket holds: the next look sees what they told of
    }
  }
}

/**
 * Waits until a link is operationally up (RFC 2863): it has a carrier and its bridge, if any, lets packets through.
 * @returns the link, or undefined at the deadline
 * @throws Error when there is no such link
 */
export function waitUntilOperational(namespace: NetworkNamespace, name: string, timeoutMs: number): Link | undefined {
  return waitFor(namespace, {
    groups: RTMGRP.LINK,
    timeoutMs,
    look() {
      const link = getLink(namespace, name);
      return link.operState === OPER_UP ? link : undefined;
    },
  });
}
