import { align4, attributes, listed } from "../attributes.ts";
import { be32, bufferOf, type Codec, text, type ValueOf } from "../codec.ts";
import { type Data, data, formatVerdict, type Verdict } from "./data.ts";
import type { Scalar } from "./data-types.ts";
import { NFPROTO, netfilterMessage } from "./message-types.ts";
import type { NftSet } from "./set.ts";
import { comment } from "./userdata.ts";
import { boundsOf, decodeFields, encodeFields, formatFields, isRange, type Value } from "./values.ts";

/** An element of a set; of a map where it has data. */
export interface Element {
  /** As many fields as the set's key has types. */
  readonly key: readonly Value[];
  readonly data?: readonly Scalar[] | Verdict | undefined;
  readonly comment?: string | undefined;
}

/** enum nft_set_elem_flags. */
const INTERVAL_END = 1;

/** enum nft_set_elem_attributes. */
const wireElement = attributes({
  flags: [3, "NFTA_SET_ELEM_FLAGS", be32],
  key: [1, "NFTA_SET_ELEM_KEY", data],
  keyEnd: [10, "NFTA_SET_ELEM_KEY_END", data],
  data: [2, "NFTA_SET_ELEM_DATA", data],
  comment: [6, "NFTA_SET_ELEM_USERDATA", comment],
});

type WireElement = ValueOf<typeof wireElement>;

/** enum nft_set_elem_list_attributes. */
export const elementsMessage = netfilterMessage({
  table: [1, "NFTA_SET_ELEM_LIST_TABLE", text],
  set: [2, "NFTA_SET_ELEM_LIST_SET", text],
  setId: [4, "NFTA_SET_ELEM_LIST_SET_ID", be32],
  elements: [3, "NFTA_SET_ELEM_LIST_ELEMENTS", listed("NFTA_LIST_ELEM", wireElement)],
});

const view: Codec<Uint8Array> = { encode: (value) => value, decode: (value) => value };

/** The same, each element a view of its bytes. */
const unreadMessage = netfilterMessage({
  elements: [3, "NFTA_SET_ELEM_LIST_ELEMENTS", listed("NFTA_LIST_ELEM", view)],
});

/** @param elements undefined: the set alone, as for a dump. @param options.setId where the set is made in the same batch and has no name yet */
export function encodeElements(
  set: NftSet,
  elements: readonly Element[] | undefined,
  options: { setId?: number } = {},
): Uint8Array {
  return elementsMessage.encode({
    family: NFPROTO[set.table.family],
    table: set.table.name,
    set: set.name,
    setId: options.setId,
    elements: elements?.flatMap((element) => toWire(set, element)),
  });
}

/** A request for one element: its key; of an interval the end too, unless only its start is asked for. */
export function encodeElementKey(set: NftSet, key: readonly Value[], options: { start?: boolean } = {}): Uint8Array {
  const elements = toWire(set, { key }).slice(0, options.start === true ? 1 : 2);
  return elementsMessage.encode({ family: NFPROTO[set.table.family], table: set.table.name, set: set.name, elements });
}

/** Where an element is, or would be. */
export interface ElementPlace {
  readonly set: NftSet;
  readonly key: readonly Value[];
}

/** Requests for one element each. Without intervals those of one set differ in nothing but the key, which is at the end. */
export function encodeElementKeys(places: readonly ElementPlace[]): Uint8Array[] {
  const first = new Map<NftSet, Uint8Array>();
  return places.map(({ set, key }) => {
    const like = first.get(set);
    if (like === undefined || set.interval === true || !isPlain(key)) {
      const body = encodeElementKey(set, key);
      first.set(set, body);
      return body;
    }
    const fields = encodeFields(set.key, key);
    const body = like.slice();
    body.set(fields, body.length - align4(fields.length));
    return body;
  });
}

function isPlain(key: readonly Value[]): key is readonly Scalar[] {
  return !key.some(isRange);
}

/** Which element of a message stands at `index` of its list, from 1 on: an interval of one field has its end as another there. */
export function elementNumber(body: Uint8Array, index: number): number {
  const upTo = elementsMessage.decode(body).elements?.slice(0, index + 1) ?? [];
  return upTo.filter((wire) => !isEnd(wire)).length;
}

function isEnd(wire: WireElement): boolean {
  return ((wire.flags ?? 0) & INTERVAL_END) !== 0;
}

function toWire(set: NftSet, element: Element): WireElement[] {
  const bounds = element.key.map(boundsOf);
  const first = encodeFields(
    set.key,
    bounds.map((bound) => bound.first),
  );
  const start: WireElement = { key: { value: first }, data: dataOf(set, element), comment: element.comment };
  if (set.interval !== true) {
    const range = element.key.find(isRange);
    if (range !== undefined)
      throw new RangeError(`Cannot put ${formatKey(set, element)} into "${set.name}": it has no intervals`);
    return [start];
  }
  const last = encodeFields(
    set.key,
    bounds.map((bound) => bound.last),
  );
  if (set.key.length > 1) return [{ ...start, keyEnd: { value: last } }];
  const end = next(last);
  return end === undefined ? [start] : [start, { flags: INTERVAL_END, key: { value: end } }];
}

function dataOf(set: NftSet, element: Element): Data | undefined {
  if (element.data === undefined || set.data === undefined) return undefined;
  if (isVerdict(element.data)) return { verdict: element.data };
  return { value: encodeFields(set.data === "verdict" ? [] : set.data, element.data) };
}

function isVerdict(value: readonly Scalar[] | Verdict): value is Verdict {
  return !Array.isArray(value);
}

/** The number one higher, big endian; undefined after the highest. */
function next(bytes: Uint8Array): Uint8Array | undefined {
  const value = BigInt(`0x${Buffer.from(bytes).toString("hex")}`) + 1n;
  const hex = value.toString(16).padStart(bytes.length * 2, "0");
  return hex.length > bytes.length * 2 ? undefined : Uint8Array.from(Buffer.from(hex, "hex"));
}

/**
 * The elements in answers of a dump. Of an interval, first and last are both there where they differ.
 * @param options.mentioning only those in which these words stand, as in a comment; not for intervals of one field, which are of two parts
 */
export function decodeElements(
  set: NftSet,
  bodies: readonly Uint8Array[],
  options: { mentioning?: string | undefined } = {},
): Element[] {
  const { mentioning: words } = options;
  const found = bodies.flatMap((body) =>
    words === undefined ? (elementsMessage.decode(body).elements ?? []) : decodeMentioning(body, words),
  );
  if (set.interval !== true) return found.map((wire) => fromWire(set, wire));
  if (set.key.length > 1) return found.map((wire) => fromWire(set, wire, wire.keyEnd?.value));
  return intervals(set, found);
}

/** To look through bytes is much quicker than to read them: of a large set few elements are an attachment's. */
function decodeMentioning(body: Uint8Array, words: string): WireElement[] {
  if (!bufferOf(body).includes(words)) return [];
  const { elements = [] } = unreadMessage.decode(body);
  return elements.filter((bytes) => bufferOf(bytes).includes(words)).map((bytes) => wireElement.decode(bytes));
}

/** The kernel hands intervals out from the highest, end before start, or the other way round: sorted, each end follows its start. */
function intervals(set: NftSet, found: readonly WireElement[]): Element[] {
  const sorted = [...found].sort(
    (a, b) => Buffer.compare(a.key?.value ?? EMPTY, b.key?.value ?? EMPTY) || Number(isEnd(b)) - Number(isEnd(a)),
  );
  return sorted.flatMap((wire, at) => {
    if (isEnd(wire)) return [];
    const end = sorted[at + 1]?.key?.value;
    return [fromWire(set, wire, end === undefined ? highest(wire) : previous(end))];
  });
}

const EMPTY = new Uint8Array();

function highest(wire: WireElement): Uint8Array {
  return new Uint8Array(wire.key?.value?.length ?? 0).fill(0xff);
}

function previous(bytes: Uint8Array): Uint8Array {
  const value = BigInt(`0x${Buffer.from(bytes).toString("hex")}`) - 1n;
  return Uint8Array.from(Buffer.from(value.toString(16).padStart(bytes.length * 2, "0"), "hex"));
}

function fromWire(set: NftSet, wire: WireElement, end?: Uint8Array): Element {
  const first = decodeFields(set.key, wire.key?.value ?? EMPTY);
  const last = end === undefined ? first : decodeFields(set.key, end);
  const { verdict, value } = wire.data ?? {};
  return {
    key: first.map((scalar, at) => ranged(scalar, last[at] ?? scalar)),
    data:
      verdict !== undefined && verdict.code !== undefined
        ? { code: verdict.code, chain: verdict.chain }
        : value === undefined || set.data === undefined || set.data === "verdict"
          ? undefined
          : decodeFields(set.data, value),
    comment: wire.comment,
  };
}

function ranged(first: Scalar, last: Scalar): Value {
  return String(first) === String(last) ? first : { first, last };
}

function formatKey(set: NftSet, element: Element): string {
  return formatFields(set.key, element.key);
}

/** As a person writes it between the braces of `add element`: `tcp . 8080 comment "x" : 10.1.2.3 . 80`. */
export function describeElement(set: NftSet, element: Element): string {
  const words = [formatKey(set, element)];
  if (element.comment !== undefined) words.push(`comment "${element.comment}"`);
  if (element.data !== undefined && set.data !== undefined) {
    words.push(
      ":",
      isVerdict(element.data) ? formatVerdict(element.data) : formatFields(set.data === "verdict" ? [] : set.data, element.data),
    );
  }
  return words.join(" ");
}
