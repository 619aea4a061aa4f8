import { hostLinkName, isHostLinkName, type NameParts, networkLinkPrefix } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import type { Element, ElementPlace } from "../netlink/netfilter/element.ts";
import type { NftSet } from "../netlink/netfilter/set.ts";
import { boundsOf, isRange, type Value } from "../netlink/netfilter/values.ts";

// Whose an element of a set or map is stands in its comment: first the name of the attachment's host link, which is a hash of network,
// container and interface (link/names.ts), then the three in clear, for people, as far as there is room.

/** Bytes nft takes in a comment. */
const ROOM = 127;

/** An element and the set or map that it is in. */
export interface SetElement {
  readonly set: NftSet;
  readonly element: Element;
}

export function placeOf({ set, element }: SetElement): ElementPlace {
  return { set, key: element.key };
}

/** The comment of an attachment's elements; further words (a pod's name) may follow as far as there is room. */
export function ownerComment(attachment: NameParts, ...more: readonly string[]): string {
  const { network, containerId, ifname } = attachment;
  return fitComment([hostLinkName(attachment), network, containerId, ifname, ...more]);
}

/** The words as a comment; what there is no room for is cut off at the end. Owned elements have host link and network in front. */
export function fitComment(words: readonly string[]): string {
  return Buffer.from(words.join(" ").replaceAll('"', ""))
    .subarray(0, ROOM)
    .toString("utf8")
    .replace(/\ufffd+$/, "");
}

/** As much as there is of a comment that was cut, or nearly: letters of several bytes are not halved. */
const FULL = 124;

/** Whether there was no room for all that a comment would say. */
export function isCut(comment: string): boolean {
  return Buffer.byteLength(comment) >= FULL;
}

/** The host link's name that a comment starts with; undefined for what is not an attachment's. */
export function ownerOf(comment: string | undefined): string | undefined {
  const [first = ""] = (comment ?? "").split(" ");
  return isHostLinkName(first) ? first : undefined;
}

/** A key as text, the same for a prefix and for the range it is read back as. */
export function keyText(key: readonly Value[]): string {
  return key.map(boundsText).join(" . ");
}

function boundsText(value: Value): string {
  if (!isRange(value)) {
    const text = String(value);
    return `${text}-${text}`;
  }
  const { first, last } = boundsOf(value);
  return `${first}-${last}`;
}

/** What there is at these places and is the attachment's. */
export function findOwn(
  host: NetworkNamespace,
  { attachment, places }: { attachment: NameParts; places: readonly ElementPlace[] },
): SetElement[] {
  const owner = hostLinkName(attachment);
  const found = host.nftables.find(places);
  return places.flatMap(({ set }, at) => {
    const element = found[at];
    return element !== undefined && ownerOf(element.comment) === owner ? [{ set, element }] : [];
  });
}

/** Deletes an attachment's elements of these sets, whatever their keys; sets that are not there have none. @returns them */
export function deleteOwned(
  host: NetworkNamespace,
  batch: Batch,
  options: { attachment: NameParts; sets: readonly NftSet[] },
): SetElement[] {
  const owner = hostLinkName(options.attachment);
  return options.sets.flatMap((set) => {
    const own = host.nftables.elements(set, { mentioning: owner })?.filter(({ comment }) => ownerOf(comment) === owner) ?? [];
    if (own.length > 0) batch.deleteElements(set, own, { ifPresent: true });
    return own.map((element) => ({ set, element }));
  });
}

/** Deletes what belongs to attachments of a network that are not valid any more. @returns it */
export function collectOwned(
  host: NetworkNamespace,
  batch: Batch,
  options: { network: string; valid: readonly Omit<NameParts, "network">[]; sets: readonly NftSet[] },
): SetElement[] {
  return options.sets.flatMap((set) => {
    const stale = findStale(host, set, options);
    if (stale.length > 0) batch.deleteElements(set, stale, { ifPresent: true });
    return stale.map((element) => ({ set, element }));
  });
}

/** What of a set belongs to attachments of a network that are not valid any more. */
export function findStale(
  host: NetworkNamespace,
  set: NftSet,
  { network, valid }: { network: string; valid: readonly Omit<NameParts, "network">[] },
): Element[] {
  const keep = new Set(valid.map((attachment) => hostLinkName({ ...attachment, network })));
  return (host.nftables.elements(set) ?? []).filter(({ comment }) => {
    const owner = ownerOf(comment);
    return owner !== undefined && isOfNetwork(comment ?? "", network) && !keep.has(owner);
  });
}

/** Two networks' names may have the same hash, but the comment has the name itself, cut where it is very long. */
function isOfNetwork(comment: string, network: string): boolean {
  const [owner = "", name = ""] = comment.split(" ");
  if (!owner.startsWith(networkLinkPrefix(network))) return false;
  return name === network || (Buffer.byteLength(comment) === ROOM && `${owner} ${network}`.startsWith(comment));
}
