import type { Address, Family } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import { hostLinkName, type NameParts } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import { linkToNeighbour } from "../link/route-lookup.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import { reason } from "../support/errors.ts";
import { type HostPort, isAtLoopback, placesOf } from "./host-port.ts";
import { hostPortChains, returnChain } from "./host-port-chains.ts";
import { type Claims, claim, type OwnElement } from "./host-port-claims.ts";
import { forgetEarlier, forgetThrough } from "./host-port-connections.ts";
import { hostPortComment } from "./host-port-owner.ts";
import { loopbackTargets, type MappedPort, mapsOfPorts, ownedSets, portEntry, readPort, returnPairs } from "./host-port-sets.ts";
import { closeLink, loopbackGuard, noteClosing, noteOpening, openLink } from "./loopback.ts";
import { collectOwned, deleteOwned, ownerOf, type SetElement } from "./owned.ts";
import { ensureChain, type FixedChain, rehearseChain } from "./rules.ts";

// Ports of the node that lead to containers: elements of maps, however many there are. What one attachment needs is planned first
// (planHostPorts), goes into the caller's batch with whatever else it changes (addHostPorts), and what is not nf_tables' follows when
// the batch is committed (finishHostPorts).

/** What an attachment wants mapped. */
export interface HostPortsWish {
  readonly attachment: NameParts;
  /** `namespace/name`, for whoever wants one of the ports next. */
  readonly pod?: string | undefined;
  readonly ports: readonly HostPort[];
  /** The container's addresses, at most one of each family, with the length of their networks. */
  readonly targets: readonly Prefix[];
  /** Name of the attachment's link on the host: once it is gone, somebody else may take the ports. Undefined: not known. */
  readonly hostLink: string | undefined;
  /**
   * Whose address the container sees as the node's: that of its neighbours on the same bridge (its own among them) and of processes at
   * 127.0.0.1, who reach it in no other way; everybody's; nobody's.
   */
  readonly masquerade: "neighbours" | "everybody" | "nobody";
  /**
   * Addresses of the container at which it reaches itself also through what others translate (a Service). It would get packets from its
   * own address, which no kernel takes; so the node puts its own in, as it does for host ports.
   */
  readonly selfReaching?: readonly Address[];
}

/** A wish in nf_tables' terms. */
export interface HostPortPlan {
  readonly attachment: NameParts;
  readonly comment: string;
  readonly ports: readonly { readonly port: HostPort; readonly entry: SetElement }[];
  /** Elements of sets beside the maps of ports. */
  readonly others: readonly OwnElement[];
  /** The link over which answers to 127.0.0.1 come; undefined: nothing is reached there. */
  readonly loopbackLink: string | undefined;
  /** What the plan cannot bring about, a sentence each. */
  readonly shortcomings: readonly string[];
}

/** Finds out what a wish takes on this host; changes nothing. */
export function planHostPorts(host: NetworkNamespace, wish: HostPortsWish): HostPortPlan {
  const comment = hostPortComment(wish.attachment, { hostLink: wish.hostLink, pod: wish.pod });
  const ports = new Map<string, HostPortPlan["ports"][number]>(); // what is asked for twice is mapped once
  const others: OwnElement[] = [];
  const shortcomings: string[] = [];
  let loopbackLink: string | undefined;
  for (const prefix of wish.targets) {
    const { family, address: target } = prefix;
    const own = wish.ports.filter(({ families }) => families.includes(family));
    for (const port of own) {
      const { set, element } = portEntry(port, target);
      const [place = ""] = placesOf({ ...port, families: [family] });
      ports.set(place, { port, entry: { set, element: { ...element, comment } } });
    }
    if (own.length === 0 || wish.masquerade === "nobody") continue;
    const link = linkToNeighbour(host, target);
    const sources = wish.masquerade === "everybody" ? anywhere(family) : neighboursOf(prefix, link?.kind);
    others.push({ set: returnPairs[family], element: { key: [sources, target], comment }, probe: [target, target] });
    if (family === 6 || !own.some(isAtLoopback)) continue;
    if (link === undefined) {
      shortcomings.push(`processes of the node do not reach ${target} through 127.0.0.1: no link leads there without a gateway`);
    } else {
      loopbackLink = link.name;
      const key = [link.name, target];
      others.push({ set: loopbackTargets, element: { key, comment }, probe: key });
    }
  }
  for (const address of wish.selfReaching ?? []) {
    if (others.some(({ probe: [, target] }) => String(target) === String(address))) continue;
    const key = [Prefix.host(address), address];
    others.push({ set: returnPairs[address.family], element: { key, comment }, probe: [address, address] });
  }
  return { attachment: wish.attachment, comment, ports: [...ports.values()], others, loopbackLink, shortcomings };
}

/**
 * On a bridge, whoever has an address of the container's network would be answered past the node, which has to translate back; elsewhere
 * only the container itself would.
 */
function neighboursOf(prefix: Prefix, kind: string | undefined): Prefix {
  return kind === "bridge" || kind === undefined ? prefix.network() : Prefix.host(prefix.address);
}

function anywhere(family: Family): Prefix {
  return family === 4 ? Prefix.parse("0.0.0.0/0") : Prefix.parse("::/0");
}

/** The chains a plan needs. */
export function chainsOf({ loopbackLink, others, ports }: Pick<HostPortPlan, "loopbackLink" | "others" | "ports">): FixedChain[] {
  if (ports.length === 0) return others.length === 0 ? [] : [returnChain()];
  return loopbackLink === undefined ? hostPortChains() : [...hostPortChains(), loopbackGuard()];
}

/**
 * Maps the ports; what is mapped already stays. Call it in a transaction: it decides by what it reads.
 * @throws HostPortTakenError for a port that belongs to a container that is still there
 */
export function addHostPorts(host: NetworkNamespace, batch: Batch, plan: HostPortPlan): Claims {
  for (const chain of chainsOf(plan)) ensureChain(host, batch, chain);
  if (plan.loopbackLink !== undefined) noteOpening(host, batch, plan.loopbackLink);
  return claim(host, batch, plan);
}

/**
 * What follows when the batch is committed: 127.0.0.1 is let through, and earlier connections are forgotten. What of it fails does not
 * make the ports useless, and is told to `warn`.
 */
export function finishHostPorts(host: NetworkNamespace, plan: HostPortPlan, { warn }: { warn(message: string): void }): void {
  const { loopbackLink, ports } = plan;
  for (const shortcoming of plan.shortcomings) warn(shortcoming);
  if (loopbackLink !== undefined) {
    tolerate(warn, `make host ports work at 127.0.0.1, over "${loopbackLink}"`, () => openLink(host, loopbackLink));
  }
  const mapped = ports.flatMap(({ entry }) => readPort(entry) ?? []);
  tolerate(warn, "forget earlier connections to host ports", () => forgetEarlier(host, mapped));
}

/** What was removed, for finishRemoval. */
export interface RemovedHostPorts {
  readonly ports: readonly MappedPort[];
  /** Over which nobody is reached at 127.0.0.1 any more. */
  readonly loopbackLinks: readonly string[];
}

/** Unmaps an attachment's ports, found by its names alone. Call it in a transaction. */
export function deleteHostPorts(host: NetworkNamespace, batch: Batch, attachment: NameParts): RemovedHostPorts {
  const id = hostLinkName(attachment);
  const ports = deleteOwned(host, batch, { attachment, sets: mapsOfPorts() }).flatMap((each) => readPort(each) ?? []);
  // Who answers through the node is found by where the ports led: reading a large set takes the kernel longer than all the rest
  if (ports.length === 0) deleteOwned(host, batch, { attachment, sets: Object.values(returnPairs) });
  for (const target of new Map(ports.map((port) => [String(port.target), port.target])).values()) {
    const set = returnPairs[target.family];
    const pair = host.nftables.element(set, [target, target]);
    if (pair !== undefined && ownerOf(pair.comment) === id) batch.deleteElements(set, [pair], { ifPresent: true });
  }
  const all = host.nftables.elements(loopbackTargets) ?? [];
  const removed = all.filter(({ comment }) => ownerOf(comment) === id);
  batch.deleteElements(loopbackTargets, removed, { ifPresent: true });
  return { ports, loopbackLinks: noteClosing(host, batch, { removed, all }) };
}

/** Unmaps the ports of a network's attachments that are not valid any more. Call it in a transaction. */
export function collectHostPorts(
  host: NetworkNamespace,
  batch: Batch,
  options: { network: string; valid: readonly Omit<NameParts, "network">[] },
): RemovedHostPorts {
  const all = host.nftables.elements(loopbackTargets) ?? [];
  const stale = collectOwned(host, batch, { ...options, sets: ownedSets() });
  const removed = stale.flatMap(({ set, element }) => (set.name === loopbackTargets.name ? [element] : []));
  const ports = stale.flatMap((each) => readPort(each) ?? []);
  return { ports, loopbackLinks: noteClosing(host, batch, { removed, all }) };
}

/** What follows when the batch of a removal is committed; what of it fails is told to `warn`. */
export function finishRemoval(
  host: NetworkNamespace,
  { loopbackLinks, ports }: RemovedHostPorts,
  { warn }: { warn(message: string): void },
): void {
  for (const link of loopbackLinks) tolerate(warn, `close "${link}" to answers for 127.0.0.1`, () => closeLink(host, link));
  tolerate(warn, "forget connections through host ports", () => forgetThrough(host, ports));
}

/** Asks the kernel whether it can map ports, and changes nothing. @throws NftablesError that names what it lacks */
export function rehearseHostPorts(host: NetworkNamespace): void {
  for (const chain of [...hostPortChains(), loopbackGuard()]) rehearseChain(host, chain);
}

function tolerate(warn: (message: string) => void, action: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    warn(`Cannot ${action}: ${reason(error)}`);
  }
}
