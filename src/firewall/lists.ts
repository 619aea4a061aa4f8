import { Address } from "../ip/address.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import type { Scalar, TypeName } from "../netlink/netfilter/data-types.ts";
import type { Element } from "../netlink/netfilter/element.ts";
import { type NftSet, setText } from "../netlink/netfilter/set.ts";
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
  /** By number; undefined: not there. */
  readonly present: Map<number, Element | undefined>;
  /** By what tells them apart. */
  items: Map<string, Item> | undefined;
  comment: string | undefined;
  changed: boolean;
}

/** The place of an item on a list. */
interface Place {
  readonly list: Known;
  readonly at: number;
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

  /** Reads several lists at once, of which much is asked next. */
  load(keys: readonly (readonly Scalar[])[]): void {
    this.#fill(keys.filter((key) => !this.#known.has(textOf(key))).map((key) => this.#begin(key)));
  }

  /** Undefined where there is none, or some of it is missing. */
  get(key: readonly Scalar[]): readonly Item[] | undefined {
    const { items } = this.#read(key);
    return items && [...items.values()];
  }

  /** @throws Error where an item is not on its list */
  expect(key: readonly Scalar[], item: Item): void {
    if (this.#read(key).items?.has(textOf(item)) === true) return;
    throw new Error(`map "${setText(this.#map)}" does not have it for ${key.join(" . ")}`);
  }

  /** Adds an item that is not on the list yet. @param options.comment of all its elements */
  add(key: readonly Scalar[], item: Item, options: { comment?: string | undefined } = {}): void {
    const list = this.#read(key);
    const text = textOf(item);
    if (list.items?.has(text) === true && list.comment === options.comment) return;
    list.items ??= new Map();
    if (!list.items.has(text)) list.items.set(text, item);
    list.comment = options.comment;
    list.changed = true;
  }

  /** Takes an item off; where it is on none, nothing is done. */
  remove(key: readonly Scalar[], item: Item): void {
    const list = this.#read(key);
    if (list.items?.delete(textOf(item)) !== true) return;
    if (list.items.size === 0) list.items = undefined;
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
    const changed = [...this.#known.values()].filter((list) => list.changed).map((list) => ({ list, wanted: wantedOf(list) }));
    this.#ask(changed.flatMap(({ list, wanted }) => wanted.map((_, at) => ({ list, at }))));
    const [going, coming] = [changed.flatMap(goingOf), changed.flatMap(comingOf)];
    if (going.length > 0) batch.deleteElements(this.#map, going, { ifPresent: true });
    if (coming.length === 0) return;
    batch.addTable(this.#map.table);
    batch.addSet(this.#map); // no rule has need of it, so no chain brings it along
    batch.addElements(this.#map, coming);
  }

  #read(key: readonly Scalar[]): Known {
    const known = this.#known.get(textOf(key));
    if (known !== undefined) return known;
    const list = this.#begin(key);
    this.#fill([list]);
    return list;
  }

  #begin(key: readonly Scalar[]): Known {
    const list: Known = { key, present: new Map(), items: undefined, comment: undefined, changed: false };
    this.#known.set(textOf(key), list);
    return list;
  }

  /** The first of a list says how many there are. */
  #fill(lists: readonly Known[]): void {
    this.#ask(lists.map((list) => ({ list, at: 0 })));
    this.#ask(lists.flatMap((list) => Array.from({ length: lengthOf(list.present.get(0)) }, (_, at) => ({ list, at }))));
    for (const list of lists) {
      const all = [...list.present.values()];
      const length = lengthOf(all[0]);
      list.comment = all[0]?.comment;
      if (length === 0 || !all.every((element) => lengthOf(element) === length)) continue;
      list.items = new Map(all.map(itemOf).map((item) => [textOf(item), item]));
    }
  }

  #ask(places: readonly Place[]): void {
    const unknown = places.filter(({ list, at }) => !list.present.has(at));
    const found = this.#host.nftables.find(unknown.map(({ list, at }) => ({ set: this.#map, key: [...list.key, at] })));
    for (const [number, { list, at }] of unknown.entries()) list.present.set(at, found[number]);
  }
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

/** Quick to make, unlike an address in words. */
function textOf(fields: readonly Scalar[]): string {
  return fields.map((field) => (field instanceof Address ? field.value.toString(16) : field)).join(" ");
}

function wantedOf({ key, items = new Map(), comment }: Known): Element[] {
  return [...items.values()].map((item, at) => ({ key: [...key, at], data: [...item, items.size], comment }));
}

function comingOf({ list, wanted }: { list: Known; wanted: readonly Element[] }): Element[] {
  return wanted.filter((element, at) => !isSame(list.present.get(at), element));
}

/** What is to be made anew goes too: an element keeps its comment, and with other data it is refused. */
function goingOf({ list, wanted }: { list: Known; wanted: readonly Element[] }): Element[] {
  return [...list.present].flatMap(([at, present]) => {
    const element = wanted[at];
    return present === undefined || (element !== undefined && isSame(present, element)) ? [] : [present];
  });
}

function isSame(present: Element | undefined, wanted: Element): boolean {
  return present !== undefined && present.comment === wanted.comment && textOf(fieldsOf(present)) === textOf(fieldsOf(wanted));
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
