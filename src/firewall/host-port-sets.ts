import type { Address, Family } from "../ip/address.ts";
import type { Element } from "../netlink/netfilter/element.ts";
import type { NftSet } from "../netlink/netfilter/set.ts";
import { boundsOf, type Value } from "../netlink/netfilter/values.ts";
import type { HostPort, HostPortProtocol } from "./host-port.ts";
import type { SetElement } from "./owned.ts";
import { podlinkTable as table } from "./table.ts";

/** Ports of every address of the node, and of one address, with what they lead to. */
export const portMaps = {
  4: {
    every: { table, name: "hostport4", key: ["inet_proto", "inet_service"], data: ["ipv4_addr", "inet_service"] },
    one: { table, name: "hostport4ip", key: ["ipv4_addr", "inet_proto", "inet_service"], data: ["ipv4_addr", "inet_service"] },
  },
  6: {
    every: { table, name: "hostport6", key: ["inet_proto", "inet_service"], data: ["ipv6_addr", "inet_service"] },
    one: { table, name: "hostport6ip", key: ["ipv6_addr", "inet_proto", "inet_service"], data: ["ipv6_addr", "inet_service"] },
  },
} as const satisfies Record<Family, Record<"every" | "one", NftSet>>;

/** Who (a prefix) reaches whom through a host port only if the answers are made to pass the node. */
export const returnPairs = {
  4: { table, name: "hostport_return4", key: ["ipv4_addr", "ipv4_addr"], interval: true },
  6: { table, name: "hostport_return6", key: ["ipv6_addr", "ipv6_addr"], interval: true },
} as const satisfies Record<Family, NftSet>;

/** Link and address of each container that processes of the node reach through 127.0.0.1. */
export const loopbackTargets = {
  table,
  name: "hostport_loopback",
  key: ["ifname", "ipv4_addr"],
} as const satisfies NftSet;

/** The maps of both families. */
export function mapsOfPorts(): NftSet[] {
  return Object.values(portMaps).flatMap(({ every, one }) => [every, one]);
}

/** All sets with elements of attachments. */
export function ownedSets(): NftSet[] {
  return [...mapsOfPorts(), ...Object.values(returnPairs), loopbackTargets];
}

/** The element of a port map that leads to `target`. */
export function portEntry(port: HostPort, target: Address): SetElement {
  const { protocol, hostPort, containerPort, hostAddress } = port;
  const { every, one } = portMaps[target.family];
  const data = [target, containerPort];
  if (hostAddress === undefined) return { set: every, element: { key: [protocol, hostPort], data } };
  return { set: one, element: { key: [hostAddress, protocol, hostPort], data } };
}

/** What an element of a port map says. */
export interface MappedPort {
  readonly protocol: HostPortProtocol;
  readonly hostPort: number;
  readonly hostAddress: Address | undefined;
  readonly target: Address;
  readonly containerPort: number;
}

/** Reads an element; undefined for those of other sets. */
export function readPort({ set, element }: SetElement): MappedPort | undefined {
  const { every, one } = set.name.startsWith("hostport4") ? portMaps[4] : portMaps[6];
  if ((set.name !== every.name && set.name !== one.name) || !Array.isArray(element.data)) return undefined;
  const [protocol, hostPort] = element.key.slice(-2);
  const [target, containerPort] = element.data;
  return {
    protocol: protocol as HostPortProtocol,
    hostPort: Number(hostPort),
    hostAddress: set.name === one.name ? (element.key[0] as Address) : undefined,
    target: target as Address,
    containerPort: Number(containerPort),
  };
}

/** Whether two elements lead to the same. */
export function sameData(left: Element, right: Element): boolean {
  return String(left.data ?? "") === String(right.data ?? "");
}

/** A key as text, the same for a prefix and for the range it is read back as. */
export function keyText(key: readonly Value[]): string {
  return key.map((value) => [boundsOf(value).first, boundsOf(value).last].join("-")).join(" . ");
}
