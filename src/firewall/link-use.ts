import { hostLinkName, type NameParts, networkLinkPrefix } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import type { Element } from "../netlink/netfilter/element.ts";
import type { NftSet } from "../netlink/netfilter/set.ts";
import { collectOwned, ownerComment, ownerOf } from "./owned.ts";
import { podlinkTable } from "./table.ts";

// What is made once for a link of the host (a bridge) and shared by the attachments behind it: it stays as long as one of them asks for
// it. Who asks is an element of a map, host link of the attachment → shared link, which no packet ever meets. One of the users stands for
// all: while that one is there, nobody who leaves has to look for others. Only when it goes itself, the users are read for another.

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

/** For each shared link the user that stands for all, by the name of the users' map and the link. */
const witnesses = {
  table: podlinkTable,
  name: "link_witnesses",
  key: ["ifname", "ifname"],
  data: ["ifname"],
  comment: "one of the attachments that share a link, so that the others can go unheard",
} as const satisfies NftSet;

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
  const name = hostLinkName(attachment);
  const present = linkOfUser(host, wish);
  const left = present === undefined || present === link ? undefined : leaveUse(host, batch, { use, attachment });
  if (present !== link) {
    batch.addTable(podlinkTable);
    batch.addSet(use.users);
    batch.addElements(use.users, [{ key: [name], data: [link], comment: ownerComment(attachment) }]);
  }
  if (witnessOf(host, use, link) === undefined) appoint(batch, { use, link, name });
  for (const [set, element] of use.marks(link)) {
    if (host.nftables.element(set, element.key) === undefined) batch.addElements(set, [element]);
  }
  return left;
}

/** Makes users of those who have been so before there was a map of them. @param wish.users shared link, and the comment that says whose it is */
export function adoptUsers(
  host: NetworkNamespace,
  batch: Batch,
  wish: { use: LinkUse; users: readonly { readonly link: string; readonly comment: string | undefined }[] },
): void {
  const { users } = wish.use;
  const known = new Set((host.nftables.elements(users) ?? []).map(({ key }) => String(key[0])));
  const elements = wish.users.flatMap(({ comment, link }) => {
    const name = ownerOf(comment);
    return name === undefined || known.has(name) ? [] : [{ key: [name], data: [link], comment }];
  });
  if (elements.length === 0) return;
  batch.addSet(users);
  batch.addElements(users, elements);
}

/** Ends an attachment's use; one that is no user is fine. @returns the link that has no users now, its marks deleted */
export function leaveUse(
  host: NetworkNamespace,
  batch: Batch,
  wish: { use: LinkUse; attachment: NameParts },
): string | undefined {
  const { use, attachment } = wish;
  const name = hostLinkName(attachment);
  const link = linkOfUser(host, wish);
  if (link === undefined) return undefined;
  batch.deleteElements(use.users, [{ key: [name] }], { ifPresent: true });
  const witness = witnessOf(host, use, link);
  if (witness !== undefined && witness !== name && linkOf(host.nftables.element(use.users, [witness])) === link) return undefined;
  return succeed(host, batch, { use, links: [link], gone: [name] })[0];
}

/** The link that an attachment is a user of. */
export function linkOfUser(
  host: NetworkNamespace,
  { use, attachment }: { use: LinkUse; attachment: NameParts },
): string | undefined {
  return linkOf(host.nftables.element(use.users, [hostLinkName(attachment)]));
}

/** Whether a link has users, as far as one of them stands for all. */
export function isInUse(host: NetworkNamespace, { use, link }: { use: LinkUse; link: string }): boolean {
  return witnessOf(host, use, link) !== undefined;
}

/** Ends the use of a network's attachments that are not valid any more. @returns links that have no users now */
export function collectUse(
  host: NetworkNamespace,
  batch: Batch,
  wish: { use: LinkUse; network: string; valid: readonly Omit<NameParts, "network">[] },
): string[] {
  const { use, network, valid } = wish;
  const stale = collectOwned(host, batch, { network, valid, sets: [use.users] });
  const links = new Set(stale.flatMap(({ element }) => linkOf(element) ?? []));
  return succeed(host, batch, { use, links: [...links], gone: stale.map(({ element }) => String(element.key[0])) });
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
  const present = linkOfUser(host, wish);
  if (present !== link)
    throw new Error(`map "${use.users.name}" has ${present === undefined ? "no element" : `"${present}"`} for "${name}"`);
  for (const [set, { key }] of use.marks(link)) {
    if (host.nftables.element(set, key) === undefined) throw new Error(`set "${set.name}" has no element "${key.join(" . ")}"`);
  }
}

/**
 * Has another user stand for each link whose witness is gone, and deletes what links have that no user is left of.
 * @param wish.gone host links of the users that go in this batch
 * @returns the links without users
 */
function succeed(
  host: NetworkNamespace,
  batch: Batch,
  { gone, links, use }: { use: LinkUse; links: readonly string[]; gone: readonly string[] },
): string[] {
  if (links.length === 0) return [];
  const names = new Set(gone);
  const staying = new Map<string, string>(); // one user of each link
  for (const user of host.nftables.elements(use.users) ?? []) {
    const [name, link] = [String(user.key[0]), linkOf(user)];
    if (link !== undefined && !names.has(name)) staying.set(link, name);
  }
  for (const link of links) {
    const [witness, name] = [witnessOf(host, use, link), staying.get(link)];
    if (witness !== undefined && witness !== name) {
      batch.deleteElements(witnesses, [{ key: witnessKey(use, link) }], { ifPresent: true });
    }
    if (name !== undefined && witness !== name) appoint(batch, { use, link, name });
  }
  const unused = links.filter((link) => !staying.has(link));
  for (const [set, element] of unused.flatMap((link) => use.marks(link))) {
    batch.deleteElements(set, [element], { ifPresent: true });
  }
  return unused;
}

function appoint(batch: Batch, { link, name, use }: { use: LinkUse; link: string; name: string }): void {
  batch.addTable(podlinkTable);
  batch.addSet(witnesses);
  batch.addElements(witnesses, [{ key: witnessKey(use, link), data: [name] }]);
}

function witnessOf(host: NetworkNamespace, use: LinkUse, link: string): string | undefined {
  return linkOf(host.nftables.element(witnesses, witnessKey(use, link)));
}

/** To nft, a name that ends in `*` is no name but many. A link of the name without it would be told from it by what its witness uses. */
function witnessKey({ users }: LinkUse, link: string): [string, string] {
  return [users.name, link.replace(/\*$/, "")];
}

function linkOf(element: Element | undefined): string | undefined {
  const data = element?.data;
  return data !== undefined && "code" in data ? undefined : data?.map(String)[0];
}
