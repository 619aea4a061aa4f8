import type { NetworkNamespace } from "../link/namespace.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import type { Scalar } from "../netlink/netfilter/data-types.ts";
import type { Element } from "../netlink/netfilter/element.ts";
import type { NftSet } from "../netlink/netfilter/set.ts";
import { formatHostPort, type HostPort } from "./host-port.ts";
import { describeOwner, HostPortTakenError, isGone, isSameContainer, readOwner } from "./host-port-owner.ts";
import { keyText, portMaps, readPort, sameData } from "./host-port-sets.ts";
import { ownerOf, type SetElement } from "./owned.ts";

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
  /** A key within it, by which also an element is found that has been there instead: intervals of other sizes overlap. */
  readonly probe: readonly Scalar[];
}

/**
 * Puts the elements of a claim into a batch. As with sockets, a port of one address and the same port of every address exclude each
 * other, unless both are one container's: then the one address decides.
 * @throws HostPortTakenError
 */
export function claim(host: NetworkNamespace, batch: Batch, { comment, ports, others }: Claim): Claims {
  const self = readOwner(comment);
  const takenOver = new Set<string>();
  const shared: string[] = [];
  const gone = new Elements();
  const fresh = new Elements();

  /** @returns whether whoever has the port keeps it */
  function contest(port: HostPort, present: SetElement): boolean {
    const owner = readOwner(present.element.comment);
    if (owner.id === self.id) return false;
    if (isSameContainer(owner, self)) return true;
    const as = nameOf(present);
    if (!isGone(host, owner)) throw new HostPortTakenError(port, { owner, as });
    takenOver.add(`host port ${as} is taken over from ${describeOwner(owner)}, whose interface is gone`);
    gone.add(present);
    return false;
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

  const find = finder(host);
  for (const { port, entry } of ports) {
    for (const rival of find.otherAddresses(port, entry)) contest(port, rival);
    const present = find.same(entry);
    if (present === undefined || !contest(port, { set: entry.set, element: present })) put(entry, present);
    else shared.push(`host port ${nameOf(entry)} stays with ${describeOwner(readOwner(present.comment))}, the same container`);
  }
  for (const entry of others) put(entry, host.nftables.element(entry.set, entry.probe));

  for (const { set, elements } of gone) batch.deleteElements(set, elements, { ifPresent: true });
  for (const { set, elements } of fresh) batch.addElements(set, elements);
  return { takenOver: [...takenOver], shared };
}

/** Looks for what stands in the way: single elements, but for those of one address, which are read once where a claim is for all. */
function finder(host: NetworkNamespace) {
  const lists = new Map<string, readonly Element[]>();
  function list(set: NftSet): readonly Element[] {
    const known = lists.get(set.name) ?? host.nftables.elements(set) ?? [];
    lists.set(set.name, known);
    return known;
  }
  return {
    same: ({ set, element }: SetElement) => host.nftables.element(set, element.key),
    /** Elements for the same port of other addresses. */
    otherAddresses({ protocol, hostPort }: HostPort, { set }: SetElement): SetElement[] {
      const { every, one } = set.name.startsWith("hostport4") ? portMaps[4] : portMaps[6];
      if (set.name === one.name) {
        const element = host.nftables.element(every, [protocol, hostPort]);
        return element === undefined ? [] : [{ set: every, element }];
      }
      const rivals = list(one).filter(({ key }) => key[1] === protocol && key[2] === hostPort);
      return rivals.map((element) => ({ set: one, element }));
    },
  };
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
