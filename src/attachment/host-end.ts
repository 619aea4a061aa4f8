import { findLink, getLink, type Link } from "../link/links.ts";
import type { Sandbox } from "../link/namespace.ts";

/** The container's interface is not one end of a veth pair whose other end is on the host. */
export class NoHostEndError extends Error {}

/**
 * The host's end of the veth pair whose other end is the container's interface, whoever made it.
 * @throws NoHostEndError
 */
export function findHostEnd({ host, container }: Sandbox, ifname: string): Link {
  const inside = getLink(container, ifname);
  if (inside.kind !== "veth" || inside.peer === undefined) {
    throw new NoHostEndError(`container interface "${ifname}" has no veth peer: it is ${describeKind(inside)}`);
  }
  const outside = findLink(host, inside.peer);
  // An index means something only in its own namespace: the peer may be in a third one
  if (outside?.kind !== "veth" || outside.peer !== inside.index) {
    throw new NoHostEndError(`veth peer of container interface "${ifname}" with index ${inside.peer} is not in host ns`);
  }
  return outside;
}

function describeKind({ kind }: Link): string {
  return kind === undefined ? "hardware" : `of kind ${kind}`;
}
