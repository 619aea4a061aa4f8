import { Address } from "../ip/address.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import type { Scalar, TypeName } from "../netlink/netfilter/data-types.ts";
import type { Element } from "../netlink/netfilter/element.ts";
import { type NftSet, setText } from "../netlink/netfilter/set.ts";
import { keyText } from "./owned.ts";
import { podlinkTable } from "./table.ts";

// A map that has a list for each key, so that a few elements are found by their keys where all would have to be read:
//
//   "plk3d9x7f2mq4ta" . 0 : ::ffff:10.91.0.2 . 2       the number of the item, and how many there are
//   "plk3d9x7f2mq4ta" . 1 : fd00:91::2 . 2
//
// A list of which something is missing counts for none: whoever needs it then reads what it is about. No packet ever meets these maps.

/** One of a list: as many fields as its map says. */
export type Item = readonly Scalar[];

/** A map of lists. Several of them on one key are no use, so nft's `inet_service` numbers enough. */
export function listMap(name: string, types: { key: readonly TypeName[]; item: readonly TypeName[]; comment: string }): NftSet {
  const { key, item, comment } = types;
  return { table: podlinkTable, name, key: [...key, "inet_service"], data: [...item, "inet_service"], comment };
}

/** A list, and what of it is in the kernel. */
interface Known {
  readonly key: readonly Scalar[];
  /** By number; undefined: not asked for yet. */
  readonly present: Map<number, Element | undefined>;
  items: readonly Item[] | undefined;
  comment: string | undefined;
  changed: boolean;
}

/** The lists of a map as one call reads and changes them; put() writes what changed. */
export class Lists {
  readonly #host: NetworkNamespace;
  readonly #map: NftSet;
  readonly #known = new Map<string, Known>();

  constructor(host: NetworkNamespace, map: NftSet) {
    this.#host = host;
    this.#map = map;
  }

  /** Undefined where there is none, or some of it is missing. */
  get(key: readonly Scalar[]): readonly Item[] | undefined {
    return this.#read(key).items;
  }

  /** Adds an item that is not on the list yet. @param options.comment of all its elements */
  add(key: readonly Scalar[], item: Item, options: { comment?: string | undefined } = {}): void {
    const list = this.#read(key);
    const items = list.items ?? [];
    const isThere = items.some((each) => keyText(each) === keyText(item));
    if (isThere && list.comment === options.comment) return;
    list.items = isThere ? items : [...items, item];
    list.comment = options.comment;
    list.changed = true;
  }

  /** Takes an item off; where it is on none, nothing is done. */
  remove(key: readonly Scalar[], item: Item): void {
    const list = this.#read(key);
    const rest = list.items?.filter((each) => keyText(each) !== keyText(item));
    if (rest === undefined || rest.length === list.items?.length) return;
    list.items = rest.length === 0 ? undefined : rest;
    list.changed = true;
  }

  /** Deletes the whole list. */
  drop(key: readonly Scalar[]): void {
    const list = this.#read(key);
    if (list.items === undefined) return;
    list.items = undefined;
    list.changed = true;
  }

  put(batch: Batch): void {
    const changed = [...this.#known.values()].filter((list) => list.changed);
    const [going, coming] = [changed.flatMap((list) => this.#goingOf(list)), changed.flatMap((list) => this.#comingOf(list))];
    if (going.length > 0) batch.deleteElements(this.#map, going, { ifPresent: true });
    if (coming.length === 0) return;
    batch.addTable(this.#map.table);
    batch.addSet(this.#map); // no rule has need of it, so no chain brings it along
    batch.addElements(this.#map, coming);
  }

  #comingOf(list: Known): Element[] {
    return wantedOf(list).filter((element, at) => !isSame(this.#element(list, at), element));
  }

  /** What is to be made anew goes too: an element keeps its comment, and with other data it is refused. */
  #goingOf(list: Known): Element[] {
    const wanted = wantedOf(list);
    for (const at of wanted.keys()) this.#element(list, at);
    return [...list.present].flatMap(([at, present]) => {
      const element = wanted[at];
      return present === undefined || (element !== undefined && isSame(present, element)) ? [] : [present];
    });
  }

  #read(key: readonly Scalar[]): Known {
    const known = this.#known.get(keyText(key));
    if (known !== undefined) return known;
    const list: Known = { key, present: new Map(), items: undefined, comment: undefined, changed: false };
    this.#known.set(keyText(key), list);
    const first = this.#element(list, 0);
    const length = lengthOf(first);
    const all = [first, ...Array.from({ length: Math.max(0, length - 1) }, (_, at) => this.#element(list, at + 1))];
    if (length > 0 && all.every((element) => lengthOf(element) === length)) list.items = all.map(itemOf);
    list.comment = first?.comment;
    return list;
  }

  #element(list: Known, at: number): Element | undefined {
    if (!list.present.has(at)) list.present.set(at, this.#host.nftables.element(this.#map, [...list.key, at]));
    return list.present.get(at);
  }
}

/** @throws Error where an item is not on its list */
export function expectListed(host: NetworkNamespace, map: NftSet, wish: { key: readonly Scalar[]; item: Item }): void {
  const items = new Lists(host, map).get(wish.key) ?? [];
  if (items.some((each) => keyText(each) === keyText(wish.item))) return;
  throw new Error(`map "${setText(map)}" does not have it for ${wish.key.join(" . ")}`);
}

/** An address of either family as a field of type ipv6_addr: `::ffff:10.91.0.2`. */
export function toEither(address: Address): Address {
  return address.family === 6 ? address : new Address(6, MAPPED | address.value);
}

/** The other way round. */
export function fromEither(value: Scalar | undefined): Address {
  if (!(value instanceof Address)) throw new RangeError(`"${value}" is not an address`);
  return value.value >> 32n === MAPPED >> 32n ? new Address(4, value.value & 0xffffffffn) : value;
}

const MAPPED = 0xffffn << 32n;

function wantedOf({ key, items = [], comment }: Known): Element[] {
  return items.map((item, at) => ({ key: [...key, at], data: [...item, items.length], comment }));
}

function isSame(present: Element | undefined, wanted: Element): boolean {
  return present !== undefined && present.comment === wanted.comment && String(present.data) === String(wanted.data);
}

/** The item that an element of a list stands for. */
export function itemOf(element: Element | undefined): Item {
  return fieldsOf(element).slice(0, -1);
}

function lengthOf(element: Element | undefined): number {
  return Number(fieldsOf(element).at(-1) ?? 0);
}

function fieldsOf(element: Element | undefined): readonly Scalar[] {
  const data = element?.data;
  return data === undefined || "code" in data ? [] : data;
}
