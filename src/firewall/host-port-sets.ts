import { Address, type Family } from "../ip/address.ts";
import type { Scalar } from "../netlink/netfilter/data-types.ts";
import type { Element } from "../netlink/netfilter/element.ts";
import type { NftSet } from "../netlink/netfilter/set.ts";
import type { HostPort, HostPortProtocol } from "./host-port.ts";
import { fromEither, type Item, listMap, toEither } from "./lists.ts";
import type { SetElement } from "./owned.ts";
import { targetOf } from "./shared-chain.ts";
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

/** Containers whose clients (their neighbours, or everybody) get answers only if those are made to pass the node: a chain for each kind. */
export const clientMaps = {
  4: { table, name: "hostport_clients4", key: ["ipv4_addr"], data: "verdict" },
  6: { table, name: "hostport_clients6", key: ["ipv6_addr"], data: "verdict" },
} as const satisfies Record<Family, NftSet>;

/** Containers that are their own clients and nobody else's, each paired with itself: a rule cannot compare two fields of one packet. */
export const selfPairs = {
  4: { table, name: "hostport_self4", key: ["ipv4_addr", "ipv4_addr"] },
  6: { table, name: "hostport_self6", key: ["ipv6_addr", "ipv6_addr"] },
} as const satisfies Record<Family, NftSet>;

/** Link and address of each container that processes of the node reach through 127.0.0.1. */
export const loopbackTargets = {
  table,
  name: "hostport_loopback",
  key: ["ifname", "ipv4_addr"],
} as const satisfies NftSet;

/** What an attachment has: its addresses beside the maps of ports, with port 0, and its host ports as claimed. */
export function portOwners(): NftSet {
  const comment = "attachments, and which host ports are theirs; tcp . 0: an address of their container";
  return listMap("hostport_owners", { key: ["ifname"], item: ["ipv6_addr", "inet_proto", "inet_service"], comment });
}

/** The addresses for which a port is in the maps of one address. */
export function portAddresses(): NftSet {
  const comment = "host ports of one address of the node, and of which";
  return listMap("hostport_addresses", { key: ["inet_proto", "inet_service"], item: ["ipv6_addr"], comment });
}

/** The maps of both families. */
export function mapsOfPorts(): NftSet[] {
  return Object.values(portMaps).flatMap(({ every, one }) => [every, one]);
}

/** The sets that say whose answers pass the node. */
export function setsOfReturns(): NftSet[] {
  return [...Object.values(clientMaps), ...Object.values(selfPairs)];
}

/** All sets with elements of attachments but their lists; those that an older version made are told of by their own file. */
export function ownedSets(): NftSet[] {
  return [...mapsOfPorts(), ...setsOfReturns(), loopbackTargets];
}

/** What an attachment's list has for an element of a port map. */
export function itemOfPort({ set, element }: SetElement): Item {
  const family = familyOf(set);
  const [address] = set.name === portMaps[family].one.name ? element.key : [];
  const [protocol, hostPort] = element.key.slice(-2);
  const any = new Address(family, 0n);
  return [toEither(address instanceof Address ? address : any), String(protocol), Number(hostPort)];
}

/** What an attachment's list has for an address of its container. */
export function itemOfTarget(target: Address): Item {
  return [toEither(target), "tcp", 0];
}

/** The address of a container that an item stands for, or the map and key of the host port. */
export function readItem([address, protocol = "", hostPort = 0]: Item):
  | { readonly target: Address }
  | { readonly set: NftSet; readonly key: readonly Scalar[] } {
  const value = fromEither(address);
  if (hostPort === 0) return { target: value };
  const { every, one } = portMaps[value.family];
  if (value.value === 0n) return { set: every, key: [protocol, hostPort] };
  return { set: one, key: [value, protocol, hostPort] };
}

/** Of a port map. */
export function familyOf(set: NftSet): Family {
  return set.name.startsWith("hostport4") ? 4 : 6;
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
  const { every, one } = portMaps[familyOf(set)];
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
  return targetOf(left) === targetOf(right) && String(left.data ?? "") === String(right.data ?? "");
}
