import type { Address } from "../ip/address.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import type { Scalar } from "../netlink/netfilter/data-types.ts";
import type { Element } from "../netlink/netfilter/element.ts";
import type { NftSet } from "../netlink/netfilter/set.ts";
import { formatHostPort, type HostPort } from "./host-port.ts";
import { describeOwner, HostPortTakenError, isGone, isSameContainer, readOwner } from "./host-port-owner.ts";
import { familyOf, itemOfPort, itemOfTarget, portMaps, readPort, sameData } from "./host-port-sets.ts";
import { fromEither, type Item, type Lists, toEither } from "./lists.ts";
import { keyText, ownerOf, type SetElement } from "./owned.ts";

/** What became of ports that somebody had: a sentence each. */
export interface Claims {
  /** Those of containers whose interface is gone. */
  readonly takenOver: readonly string[];
  /** Those that the same container has by another of its interfaces, which keeps them. */
  readonly shared: readonly string[];
}

/** What is claimed, and in whose name. */
export interface Claim {
  readonly comment: string;
  readonly ports: readonly { readonly port: HostPort; readonly entry: SetElement }[];
  /** Elements that nobody else has a right to. */
  readonly others: readonly OwnElement[];
}

/** An element of a set that is an attachment's alone. */
export interface OwnElement extends SetElement {
  /** The container's address that it is about. */
  readonly target: Address;
  /** What another set may have for the address instead. */
  readonly instead?: { readonly set: NftSet; readonly key: readonly Scalar[] };
}

/** What claims are looked up by, as the caller's batch changes it. */
export interface ClaimLists {
  /** Of attachments: portOwners(). */
  readonly owners: Lists;
  /** Of ports: portAddresses(). */
  readonly addresses: Lists;
}

/**
 * Puts the elements of a claim into a batch. As with sockets, a port of one address and the same port of every address exclude each
 * other, unless both are one container's: then the one address decides.
 * @throws HostPortTakenError
 */
export function claim(host: NetworkNamespace, batch: Batch, options: Claim & { readonly lists: ClaimLists }): Claims {
  const { comment, lists, ports, others } = options;
  const self = readOwner(comment);
  const takenOver = new Set<string>();
  const shared: string[] = [];
  const gone = new Elements();
  const fresh = new Elements();
  const targets: Address[] = [];

  /** @returns whether whoever has the port keeps it */
  function contest(port: HostPort, present: SetElement): boolean {
    const owner = readOwner(present.element.comment);
    if (owner.id === self.id) return false;
    if (isSameContainer(owner, self)) return true;
    const as = nameOf(present);
    if (!isGone(host, owner)) throw new HostPortTakenError(port, { owner, as });
    takenOver.add(`host port ${as} is taken over from ${describeOwner(owner)}, whose interface is gone`);
    gone.add(present);
    forgetPort(lists.addresses, present);
    return false;
  }

  function note(item: Item): void {
    if (self.id !== undefined) lists.owners.add([self.id], item, { comment });
  }

  /** An element that is added again keeps its comment, and with other data is refused: it goes first. */
  function put({ set, element }: SetElement, present: Element | undefined): void {
    if (present !== undefined) {
      const same = keyText(present.key) === keyText(element.key) && sameData(present, element);
      if (same && ownerOf(present.comment) === self.id) return;
      gone.add({ set, element: present });
    }
    fresh.add({ set, element });
  }

  const find = finder(host, lists.addresses);
  for (const { port, entry } of ports) {
    for (const rival of find.otherAddresses(port, entry)) contest(port, rival);
    const present = find.same(entry);
    if (present === undefined || !contest(port, { set: entry.set, element: present })) {
      put(entry, present);
      note(itemOfPort(entry));
      targets.push(...[readPort(entry)?.target ?? []].flat());
      rememberPort(lists.addresses, entry);
    } else shared.push(`host port ${nameOf(entry)} stays with ${describeOwner(readOwner(present.comment))}, the same container`);
  }
  for (const entry of others) {
    put(entry, host.nftables.element(entry.set, entry.element.key));
    note(itemOfTarget(entry.target));
    const { instead } = entry;
    const present = instead && host.nftables.element(instead.set, instead.key);
    if (instead !== undefined && present !== undefined) gone.add({ set: instead.set, element: present });
  }
  for (const target of targets) note(itemOfTarget(target)); // where nothing but its ports is mapped, nothing else tells of it

  for (const { set, elements } of gone) batch.deleteElements(set, elements, { ifPresent: true });
  for (const { set, elements } of fresh) batch.addElements(set, elements);
  return { takenOver: [...takenOver], shared };
}

/** Looks for what stands in the way, one element after another. */
function finder(host: NetworkNamespace, addresses: Lists) {
  function find(set: NftSet, key: readonly Scalar[]): SetElement[] {
    const element = host.nftables.element(set, key);
    return element === undefined ? [] : [{ set, element }];
  }
  return {
    same: ({ set, element }: SetElement) => host.nftables.element(set, element.key),
    /** Elements for the same port of other addresses. */
    otherAddresses({ protocol, hostPort }: HostPort, { set }: SetElement): SetElement[] {
      const family = familyOf(set);
      const { every, one } = portMaps[family];
      const port = [protocol, hostPort];
      if (set.name === one.name) return find(every, port);
      const own = (addresses.get(port) ?? []).map(([address]) => fromEither(address)).filter((each) => each.family === family);
      return own.flatMap((address) => find(one, [address, ...port]));
    },
  };
}

/** Notes that a port is in the map of one address, so that who wants it for every address finds it. */
export function rememberPort(addresses: Lists, entry: SetElement): void {
  const { hostAddress, hostPort, protocol } = readPort(entry) ?? {};
  if (hostAddress !== undefined) addresses.add([protocol ?? "", hostPort ?? 0], [toEither(hostAddress)]);
}

/** The other way round. */
export function forgetPort(addresses: Lists, entry: SetElement): void {
  const { hostAddress, hostPort, protocol } = readPort(entry) ?? {};
  if (hostAddress !== undefined) addresses.remove([protocol ?? "", hostPort ?? 0], [toEither(hostAddress)]);
}

function nameOf(entry: SetElement): string {
  const port = readPort(entry);
  return port === undefined ? "" : formatHostPort(port);
}

/** Elements of several sets, none twice. */
class Elements {
  readonly #sets = new Map<string, { set: NftSet; elements: Map<string, Element> }>();

  add({ set, element }: SetElement): void {
    const entry = this.#sets.get(set.name) ?? { set, elements: new Map<string, Element>() };
    entry.elements.set(keyText(element.key), element);
    this.#sets.set(set.name, entry);
  }

  *[Symbol.iterator](): Generator<{ set: NftSet; elements: Element[] }> {
    for (const { set, elements } of this.#sets.values()) yield { set, elements: [...elements.values()] };
  }
}
