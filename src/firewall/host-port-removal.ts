import type { Address } from "../ip/address.ts";
import { hostLinkName, type NameParts } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import { applyBatch } from "../link/nftables.ts";
import { Batch } from "../netlink/netfilter/batch.ts";
import type { Element } from "../netlink/netfilter/element.ts";
import { reason } from "../support/errors.ts";
import { formerReturnSets } from "./former-sets.ts";
import { forgetPorts } from "./host-port-claims.ts";
import { forgetThrough } from "./host-port-connections.ts";
import { clientMaps, loopbackTargets, ownedSets, portAddresses, portOwners, readItem, selfPairs } from "./host-port-sets.ts";
import { isEndless, type UnmappedPort, unmappedPorts } from "./host-port-unmapped.ts";
import { collectUse, leaveUse, linkOfUser } from "./link-use.ts";
import { type Item, itemOf, Lists } from "./lists.ts";
import { answering, closeLink, noteClosing, reopenLink } from "./loopback.ts";
import { collectOwned, deleteOwned, findOwn, findStale, ownerOf, type SetElement } from "./owned.ts";
import type { RulesetChange } from "./ruleset-change.ts";
import { collectSharedChains } from "./shared-chain.ts";

/** What a batch removes, and what has to happen beside. */
export interface RemovedHostPorts {
  /** Whose connections are to be forgotten. */
  readonly ports: readonly UnmappedPort[];
  /** Keys of the lists that stay until they are. */
  readonly listed: readonly Pick<Element, "key">[];
  /** Over which nobody is reached at 127.0.0.1 any more. */
  readonly loopbackLinks: readonly string[];
}

export const nothing: RemovedHostPorts = { ports: [], listed: [], loopbackLinks: [] };

/**
 * The removal of host ports as a change. A call that is killed on the way leaves enough for the next one: links are closed while their
 * last users are still noted, connections are forgotten while the lists stand.
 * @param options.known ports that the caller knows of, for when nf_tables has nothing of them: somebody may have flushed it
 */
export function hostPortRemoval(
  host: NetworkNamespace,
  options: {
    remove(batch: Batch): RemovedHostPorts;
    known?: readonly UnmappedPort[];
    warn(message: string): void;
  },
): RulesetChange {
  const { known = [], warn } = options;
  const closed = new Set<string>();
  let removed = nothing;
  return {
    put(batch) {
      removed = options.remove(batch);
    },
    prepare() {
      for (const link of removed.loopbackLinks) {
        closed.add(link);
        tolerate(warn, `close "${link}" to answers for 127.0.0.1`, () => closeLink(host, link));
      }
    },
    finish() {
      const { listed, ports } = removed;
      for (const link of closed) tolerate(warn, `open "${link}" to answers for 127.0.0.1 again`, () => reopenLink(host, link));
      const lost = ports.length === 0 ? known.filter(isEndless) : ports;
      tolerate(warn, "forget connections through host ports", () => forgetThrough(host, lost));
      const batch = new Batch();
      if (listed.length > 0) batch.deleteElements(portOwners(), listed, { ifPresent: true });
      applyBatch(host, batch);
    },
  };
}

/** Unmaps an attachment's ports, found by its names alone. Call it in a transaction. */
export function deleteHostPorts(host: NetworkNamespace, batch: Batch, attachment: NameParts): RemovedHostPorts {
  const name = [hostLinkName(attachment)];
  const owners = new Lists(host, portOwners());
  const items = owners.get(name);
  const removed =
    items === undefined ? deleteUnlisted(host, batch, attachment) : deleteListed(host, batch, { attachment, items });
  const ports = unmappedPorts(removed, items ?? []);
  const stays = ports.some(isEndless);
  if (!stays) owners.drop(name);
  owners.put(batch);
  forgetAddresses(host, batch, removed);
  const left = leaveUse(host, batch, { use: answering(), attachment });
  const listed = stays ? (items ?? []).map((_, at) => ({ key: [...name, at] })) : [];
  return { ports, listed, loopbackLinks: noteClosing(host, batch, left === undefined ? [] : [left]) };
}

/** Unmaps the ports of a network's attachments that are not valid any more. Call it in a transaction. */
export function collectHostPorts(
  host: NetworkNamespace,
  batch: Batch,
  options: { network: string; valid: readonly Omit<NameParts, "network">[] },
): RemovedHostPorts {
  const removed = collectOwned(host, batch, { ...options, sets: [...ownedSets(), ...formerReturnSets()] });
  const lists = Map.groupBy(findStale(host, portOwners(), options), ({ comment }) => ownerOf(comment));
  const byOwner = Map.groupBy(removed, ({ element }) => ownerOf(element.comment));
  const ports: UnmappedPort[] = [];
  const listed: Element[] = [];
  for (const owner of new Set([...lists.keys(), ...byOwner.keys()])) {
    const list = lists.get(owner) ?? [];
    const own = unmappedPorts(byOwner.get(owner) ?? [], list.map(itemOf));
    ports.push(...own);
    if (own.some(isEndless)) listed.push(...list);
    else if (list.length > 0) batch.deleteElements(portOwners(), list, { ifPresent: true });
  }
  forgetAddresses(host, batch, removed);
  collectSharedChains(host, batch, { kind: "from", maps: Object.values(clientMaps), gone: removed });
  const left = collectUse(host, batch, { use: answering(), ...options });
  return { ports, listed, loopbackLinks: noteClosing(host, batch, left) };
}

export function tolerate(warn: (message: string) => void, action: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    warn(`Cannot ${action}: ${reason(error)}`);
  }
}

/** What an attachment without a list has: none, or one of an older version, or somebody flushed the map. */
function deleteUnlisted(host: NetworkNamespace, batch: Batch, attachment: NameParts): SetElement[] {
  return deleteOwned(host, batch, { attachment, sets: [...ownedSets(), portOwners(), ...formerReturnSets()] });
}

/** Elements by their keys. What somebody else has taken over is his. */
function deleteListed(
  host: NetworkNamespace,
  batch: Batch,
  { attachment, items }: { attachment: NameParts; items: readonly Item[] },
): SetElement[] {
  const link = linkOfUser(host, { use: answering(), attachment });
  const places = items.map(readItem).flatMap((item) => ("target" in item ? placesOf(item.target, link) : [item]));
  const own = findOwn(host, { attachment, places });
  for (const [set, found] of Map.groupBy(own, (each) => each.set)) {
    batch.deleteElements(
      set,
      found.map(({ element }) => element),
      { ifPresent: true },
    );
  }
  return own;
}

/** Where an address of a container may stand. @param link over which it is reached through 127.0.0.1 */
function placesOf(target: Address, link: string | undefined) {
  const { family } = target;
  const answers = [
    { set: clientMaps[family], key: [target] },
    { set: selfPairs[family], key: [target, target] },
  ];
  return family === 6 || link === undefined ? answers : [...answers, { set: loopbackTargets, key: [link, target] }];
}

function forgetAddresses(host: NetworkNamespace, batch: Batch, removed: readonly SetElement[]): void {
  const addresses = new Lists(host, portAddresses());
  forgetPorts(addresses, removed);
  addresses.put(batch);
}
