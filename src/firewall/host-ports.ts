import { type Address, BITS } from "../ip/address.ts";
import type { Prefix } from "../ip/prefix.ts";
import type { NameParts } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import { linkToNeighbour } from "../link/route-lookup.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import { type HostPort, isAtLoopback, placesOf } from "./host-port.ts";
import { clientChain, hostPortChains, returnChain } from "./host-port-chains.ts";
import { type Claims, claim, type OwnElement } from "./host-port-claims.ts";
import { forgetEarlier } from "./host-port-connections.ts";
import { hostPortComment } from "./host-port-owner.ts";
import { tolerate } from "./host-port-removal.ts";
import { clientMaps, loopbackTargets, portAddresses, portEntry, portOwners, readPort, selfPairs } from "./host-port-sets.ts";
import { upgradeHostPorts } from "./host-port-upgrade.ts";
import { joinUse } from "./link-use.ts";
import { Lists } from "./lists.ts";
import { answering, loopbackGuard, noteOpening, openLink } from "./loopback.ts";
import type { SetElement } from "./owned.ts";
import { ensureChain, type FixedChain, isComplete, rehearseChain } from "./rules.ts";
import { jumpTo } from "./shared-chain.ts";

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
  /** Chains for the container's clients. */
  readonly clients: readonly FixedChain[];
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
  const clients: FixedChain[] = [];
  const answered = new Set<string>(); // addresses whose clients get answers
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
    const neighbours = neighboursOf(prefix, link?.kind);
    answered.add(String(target));
    if (wish.masquerade === "neighbours" && neighbours === undefined) others.push(selfPair(target, comment));
    else {
      const chain = clientChain(wish.masquerade === "everybody" ? undefined : neighbours);
      clients.push(chain);
      others.push({
        set: clientMaps[family],
        element: { key: [target], data: jumpTo(chain), comment },
        target,
        instead: { set: selfPairs[family], key: [target, target] },
      });
    }
    if (family === 6 || !own.some(isAtLoopback)) continue;
    if (link === undefined) {
      shortcomings.push(`processes of the node do not reach ${target} through 127.0.0.1: no link leads there without a gateway`);
    } else {
      loopbackLink = link.name;
      const key = [link.name, target];
      others.push({ set: loopbackTargets, element: { key, comment }, target });
    }
  }
  for (const address of wish.selfReaching ?? []) {
    if (!answered.has(String(address))) others.push(selfPair(address, comment));
  }
  return { attachment: wish.attachment, comment, ports: [...ports.values()], others, clients, loopbackLink, shortcomings };
}

function selfPair(target: Address, comment: string): OwnElement {
  const { family } = target;
  const instead = { set: clientMaps[family], key: [target] };
  return { set: selfPairs[family], element: { key: [target, target], comment }, target, instead };
}

/**
 * On a bridge, whoever has an address of the container's network would be answered past the node, which has to translate back; elsewhere
 * only the container itself would, and nobody else: undefined.
 */
function neighboursOf(prefix: Prefix, kind: string | undefined): Prefix | undefined {
  const isShared = (kind === "bridge" || kind === undefined) && prefix.length < BITS[prefix.family];
  return isShared ? prefix.network() : undefined;
}

/** The chains a plan needs. */
export function chainsOf(plan: Pick<HostPortPlan, "clients" | "loopbackLink" | "others" | "ports">): FixedChain[] {
  const { clients, loopbackLink, others, ports } = plan;
  if (ports.length === 0) return others.length === 0 ? [] : [returnChain()];
  const shared = new Map(clients.map((chain) => [chain.chain.name, chain])).values();
  return [...hostPortChains(), ...shared, ...(loopbackLink === undefined ? [] : [loopbackGuard()])];
}

/**
 * Maps the ports; what is mapped already stays. Call it in a transaction: it decides by what it reads.
 * @throws HostPortTakenError for a port that belongs to a container that is still there
 */
export function addHostPorts(host: NetworkNamespace, batch: Batch, plan: HostPortPlan): Claims {
  const { attachment, loopbackLink } = plan;
  const lists = { owners: new Lists(host, portOwners()), addresses: new Lists(host, portAddresses()) };
  const isNew = !isComplete(host, returnChain());
  for (const chain of chainsOf(plan)) ensureChain(host, batch, chain);
  if (isNew) upgradeHostPorts(host, batch, { plan, lists });
  if (loopbackLink !== undefined) {
    noteOpening(host, batch, loopbackLink);
    joinUse(host, batch, { use: answering(), attachment, link: loopbackLink });
  }
  const claims = claim(host, batch, { ...plan, lists });
  for (const list of Object.values(lists)) list.put(batch);
  return claims;
}

/**
 * What follows when the batch is committed: 127.0.0.1 is let through, and earlier connections are forgotten. What of it fails does not
 * make the ports useless, and is told to `warn`.
 */
export function finishHostPorts(
  host: NetworkNamespace,
  plan: HostPortPlan,
  { takenOver, warn }: { readonly takenOver: boolean; warn(message: string): void },
): void {
  const { loopbackLink, ports } = plan;
  for (const shortcoming of plan.shortcomings) warn(shortcoming);
  if (loopbackLink !== undefined) {
    tolerate(warn, `make host ports work at 127.0.0.1, over "${loopbackLink}"`, () => openLink(host, loopbackLink));
  }
  const mapped = ports.flatMap(({ entry }) => readPort(entry) ?? []);
  tolerate(warn, "forget earlier connections to host ports", () => forgetEarlier(host, mapped, { takenOver }));
}

/** Asks the kernel whether it can map ports, and changes nothing. @throws NftablesError that names what it lacks */
export function rehearseHostPorts(host: NetworkNamespace): void {
  for (const chain of [...hostPortChains(), loopbackGuard()]) rehearseChain(host, chain);
}
