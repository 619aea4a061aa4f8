import { hostLinkName, type NameParts, networkLinkPrefix } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import type { Element } from "../netlink/netfilter/element.ts";
import type { NftSet } from "../netlink/netfilter/set.ts";
import { collectOwned, ownerComment, ownerOf } from "./owned.ts";
import { podlinkTable } from "./table.ts";

// What is made once for a link of the host (a bridge) and shared by the attachments behind it: it stays as long as one of them asks for
// it. Who asks is an element of a map, host link of the attachment → shared link, which no packet ever meets.

/** Something that attachments share. */
export interface LinkUse {
  /** Its users: the attachment's host link, and the link they share. */
  readonly users: NftSet;
  /** What a link has in sets while it has users. */
  marks(link: string): readonly (readonly [NftSet, Element])[];
}

/** The map of the users of something shared. */
export function usersMap(name: string, comment: string): NftSet {
  return { table: podlinkTable, name, key: ["ifname"], data: ["ifname"], comment };
}

/**
 * Makes an attachment a user, and makes what its link then has. The sets of the marks must be there, or be made earlier in the batch.
 * @returns the link it was a user of before, where that was another one and has no users now
 */
export function joinUse(
  host: NetworkNamespace,
  batch: Batch,
  wish: { use: LinkUse; attachment: NameParts; link: string },
): string | undefined {
  const { use, attachment, link } = wish;
  const key = [hostLinkName(attachment)];
  const present = linkOf(host.nftables.element(use.users, key));
  const left = present === undefined || present === link ? undefined : leaveUse(host, batch, { use, attachment });
  if (present !== link) {
    batch.addTable(podlinkTable);
    batch.addSet(use.users);
    batch.addElements(use.users, [{ key, data: [link], comment: ownerComment(attachment) }]);
  }
  for (const [set, element] of use.marks(link)) {
    if (host.nftables.element(set, element.key) === undefined) batch.addElements(set, [element]);
  }
  return left;
}

/** Ends an attachment's use; one that is no user is fine. @returns the link that has no users now, its marks deleted */
export function leaveUse(
  host: NetworkNamespace,
  batch: Batch,
  wish: { use: LinkUse; attachment: NameParts },
): string | undefined {
  const { use, attachment } = wish;
  const name = hostLinkName(attachment);
  const present = host.nftables.element(use.users, [name]); // so that an attachment without any costs no dump
  if (present === undefined) return undefined;
  batch.deleteElements(use.users, [present], { ifPresent: true });
  return deleteMarks(host, batch, { use, gone: [present] })[0];
}

/** Ends the use of a network's attachments that are not valid any more. @returns links that have no users now */
export function collectUse(
  host: NetworkNamespace,
  batch: Batch,
  wish: { use: LinkUse; network: string; valid: readonly Omit<NameParts, "network">[] },
): string[] {
  const { use, network, valid } = wish;
  const stale = collectOwned(host, batch, { network, valid, sets: [use.users] });
  return deleteMarks(host, batch, { use, gone: stale.map(({ element }) => element) });
}

/** The links in use; with a network, by its attachments. */
export function linksInUse(host: NetworkNamespace, use: LinkUse, network?: string): string[] {
  const prefix = network === undefined ? "" : networkLinkPrefix(network);
  const users = (host.nftables.elements(use.users) ?? []).filter(({ comment }) => ownerOf(comment)?.startsWith(prefix));
  return [...new Set(users.flatMap((user) => linkOf(user) ?? []))];
}

/** @throws Error that says what is missing of an attachment's use */
export function expectUse(host: NetworkNamespace, wish: { use: LinkUse; attachment: NameParts; link: string }): void {
  const { use, attachment, link } = wish;
  const name = hostLinkName(attachment);
  const present = linkOf(host.nftables.element(use.users, [name]));
  if (present !== link)
    throw new Error(`map "${use.users.name}" has ${present === undefined ? "no element" : `"${present}"`} for "${name}"`);
  for (const [set, { key }] of use.marks(link)) {
    if (host.nftables.element(set, key) === undefined) throw new Error(`set "${set.name}" has no element "${key.join(" . ")}"`);
  }
}

/** Deletes what links have that no user is left of. @param wish.gone the users that go in this batch. @returns those links */
function deleteMarks(host: NetworkNamespace, batch: Batch, wish: { use: LinkUse; gone: readonly Element[] }): string[] {
  const { use, gone } = wish;
  if (gone.length === 0) return [];
  const names = new Set(gone.map(({ key }) => key[0]));
  const stay = (host.nftables.elements(use.users) ?? []).filter(({ key }) => !names.has(key[0]));
  const used = new Set(stay.map(linkOf));
  const links = [...new Set(gone.flatMap((element) => linkOf(element) ?? []))].filter((link) => !used.has(link));
  for (const [set, element] of links.flatMap((link) => use.marks(link))) {
    batch.deleteElements(set, [element], { ifPresent: true });
  }
  return links;
}

function linkOf(element: Element | undefined): string | undefined {
  const data = element?.data;
  return data !== undefined && "code" in data ? undefined : data?.map(String)[0];
}
