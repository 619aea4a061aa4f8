import type { Address } from "../ip/address.ts";
import type { HostPort, HostPortProtocol } from "./host-port.ts";
import { familyOf, type MappedPort, readItem, readPort } from "./host-port-sets.ts";
import type { Item } from "./lists.ts";
import type { SetElement } from "./owned.ts";

// Ports that led to a container until now, of which connections may be left.
//
// What came through a port can be forgotten only when nothing comes through it any more: a client that goes on sending would be let in
// again at once. So the batch that unmaps it comes first; and because a call may be killed between the two, the attachment's list stays
// (host-port-sets.ts: its ports and its addresses), until a small second batch. Whoever comes next, DEL or GC, finds in it what was not done.

/** A port that led to a container. */
export interface UnmappedPort extends Pick<MappedPort, "protocol" | "hostPort" | "target"> {
  /** Undefined: not known any more, nor needed to tell whose a connection is. */
  readonly containerPort: number | undefined;
}

/** What elements of port maps said, and for those that an earlier call removed, what is left in their attachment's list. */
export function unmappedPorts(removed: readonly SetElement[], items: readonly Item[]): UnmappedPort[] {
  const ports = [...listedPorts(items), ...removed.flatMap((each) => readPort(each) ?? [])];
  return [...new Map(ports.map((port) => [`${port.protocol} ${port.hostPort} ${port.target}`, port])).values()];
}

function listedPorts(items: readonly Item[]): UnmappedPort[] {
  const places = items.map(readItem);
  const targets = places.flatMap((place) => ("target" in place ? [place.target] : []));
  return places.flatMap((place) => {
    if ("target" in place) return [];
    const [protocol, hostPort] = place.key.slice(-2);
    const family = familyOf(place.set);
    return targets
      .filter((target) => target.family === family)
      .map((target) => ({
        protocol: protocol as HostPortProtocol,
        hostPort: Number(hostPort),
        target,
        containerPort: undefined,
      }));
  });
}

/** What a configuration's ports led to, if they were mapped. @param addresses of the container */
export function wishedPorts(ports: readonly HostPort[], addresses: readonly Address[]): UnmappedPort[] {
  return ports.flatMap(({ containerPort, families, hostPort, protocol }) => {
    const targets = addresses.filter(({ family }) => families.includes(family));
    return targets.map((target) => ({ protocol, hostPort, containerPort, target }));
  });
}

/** Whether connections through a port have no end of their own: those of TCP and SCTP end with the container's sockets. */
export function isEndless({ protocol }: Pick<UnmappedPort, "protocol">): boolean {
  return protocol === "udp";
}
