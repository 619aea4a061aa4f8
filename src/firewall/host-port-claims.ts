import type { Address } from "../ip/address.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import type { Scalar } from "../netlink/netfilter/data-types.ts";
import type { Element, ElementPlace } from "../netlink/netfilter/element.ts";
import type { NftSet } from "../netlink/netfilter/set.ts";
import { formatHostPort, type HostPort } from "./host-port.ts";
import { describeOwner, HostPortTakenError, isGone, isSameContainer, readOwner } from "./host-port-owner.ts";
import { familyOf, itemOfPort, itemOfTarget, portMaps, readPort, sameData } from "./host-port-sets.ts";
import { fromEither, type Item, type Lists, toEither } from "./lists.ts";
import { keyText, ownerOf, placeOf, type SetElement } from "./owned.ts";

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
  const own: SetElement[] = [];

  /** @returns whether whoever has the port keeps it */
  function contest(port: HostPort, present: SetElement): boolean {
    const owner = readOwner(present.element.comment);
    if (owner.id === self.id) return false;
    if (isSameContainer(owner, self)) return true;
    const as = nameOf(present);
    if (!isGone(host, owner)) throw new HostPortTakenError(port, { owner, as });
    takenOver.add(`host port ${as} is taken over from ${describeOwner(owner)}, whose interface is gone`);
    gone.add(present);
    forgetPorts(lists.addresses, [present]);
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

  const presents = host.nftables.find(ports.map(({ entry }) => placeOf(entry)));
  const rivals = rivalsOf(host, lists.addresses, ports);
  for (const [at, { port, entry }] of ports.entries()) {
    for (const rival of rivals[at] ?? []) contest(port, rival);
    const present = presents[at];
    if (present === undefined || !contest(port, { set: entry.set, element: present })) {
      put(entry, present);
      note(itemOfPort(entry));
      own.push(entry);
    } else shared.push(`host port ${nameOf(entry)} stays with ${describeOwner(readOwner(present.comment))}, the same container`);
  }
  for (const entry of others) {
    put(entry, host.nftables.element(entry.set, entry.element.key));
    note(itemOfTarget(entry.target));
    const { instead } = entry;
    const present = instead && host.nftables.element(instead.set, instead.key);
    if (instead !== undefined && present !== undefined) gone.add({ set: instead.set, element: present });
  }
  rememberPorts(lists.addresses, own);
  const targets = own.flatMap((entry) => readPort(entry)?.target ?? []);
  for (const target of targets) note(itemOfTarget(target)); // where nothing but its ports is mapped, nothing else tells of it

  for (const { set, elements } of gone) batch.deleteElements(set, elements, { ifPresent: true });
  for (const { set, elements } of fresh) batch.addElements(set, elements);
  return { takenOver: [...takenOver], shared };
}

/** What there is for the same port of other addresses, for each of the ports. */
function rivalsOf(host: NetworkNamespace, addresses: Lists, ports: Claim["ports"]): SetElement[][] {
  addresses.load(ports.map(({ port: { protocol, hostPort } }) => [protocol, hostPort]));
  const places = ports.map(({ port: { protocol, hostPort }, entry: { set } }): ElementPlace[] => {
    const family = familyOf(set);
    const { every, one } = portMaps[family];
    const port = [protocol, hostPort];
    if (set.name === one.name) return [{ set: every, key: port }];
    const own = (addresses.get(port) ?? []).map(([address]) => fromEither(address)).filter((each) => each.family === family);
    return own.map((address) => ({ set: one, key: [address, ...port] }));
  });
  const found = host.nftables.find(places.flat()).values();
  return places.map((some) =>
    some.flatMap(({ set }) => {
      const element = found.next().value;
      return element === undefined ? [] : [{ set, element }];
    }),
  );
}

/** Notes which ports are in the map of one address, so that who wants one for every address finds it. */
export function rememberPorts(addresses: Lists, entries: readonly SetElement[]): void {
  for (const { key, item } of listed(addresses, entries)) addresses.add(key, item);
}

/** The other way round. */
export function forgetPorts(addresses: Lists, entries: readonly SetElement[]): void {
  for (const { key, item } of listed(addresses, entries)) addresses.remove(key, item);
}

function listed(addresses: Lists, entries: readonly SetElement[]): { key: readonly Scalar[]; item: Item }[] {
  const found = entries.flatMap((entry) => {
    const { hostAddress, hostPort, protocol } = readPort(entry) ?? {};
    if (hostAddress === undefined) return [];
    return [{ key: [protocol ?? "", hostPort ?? 0], item: [toEither(hostAddress)] }];
  });
  addresses.load(found.map(({ key }) => key));
  return found;
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
