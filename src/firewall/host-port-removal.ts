import type { Address } from "../ip/address.ts";
import { hostLinkName, type NameParts } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import { reason } from "../support/errors.ts";
import { formerReturnSets } from "./former-sets.ts";
import { forgetPort } from "./host-port-claims.ts";
import { forgetThrough } from "./host-port-connections.ts";
import {
  clientMaps,
  loopbackTargets,
  type MappedPort,
  ownedSets,
  portAddresses,
  portOwners,
  readItem,
  readPort,
  selfPairs,
} from "./host-port-sets.ts";
import { collectUse, leaveUse, linkOfUser } from "./link-use.ts";
import { type Item, Lists } from "./lists.ts";
import { answering, closeLink, noteClosing } from "./loopback.ts";
import { collectOwned, deleteOwned, findOwn, type SetElement } from "./owned.ts";
import { collectSharedChains } from "./shared-chain.ts";

/** What was removed, for finishRemoval. */
export interface RemovedHostPorts {
  readonly ports: readonly MappedPort[];
  /** Over which nobody is reached at 127.0.0.1 any more. */
  readonly loopbackLinks: readonly string[];
}

/** Unmaps an attachment's ports, found by its names alone. Call it in a transaction. */
export function deleteHostPorts(host: NetworkNamespace, batch: Batch, attachment: NameParts): RemovedHostPorts {
  const name = [hostLinkName(attachment)];
  const owners = new Lists(host, portOwners());
  const items = owners.get(name);
  const removed =
    items === undefined ? deleteUnlisted(host, batch, attachment) : deleteListed(host, batch, { attachment, items });
  owners.drop(name);
  owners.put(batch);
  const left = leaveUse(host, batch, { use: answering(), attachment });
  return conclude(host, batch, { removed, links: left === undefined ? [] : [left] });
}

/** Unmaps the ports of a network's attachments that are not valid any more. Call it in a transaction. */
export function collectHostPorts(
  host: NetworkNamespace,
  batch: Batch,
  options: { network: string; valid: readonly Omit<NameParts, "network">[] },
): RemovedHostPorts {
  const removed = collectOwned(host, batch, { ...options, sets: [...ownedSets(), ...formerReturnSets()] });
  collectSharedChains(host, batch, { kind: "from", maps: Object.values(clientMaps), gone: removed });
  return conclude(host, batch, { removed, links: collectUse(host, batch, { use: answering(), ...options }) });
}

/** What follows when the batch of a removal is committed; what of it fails is told to `warn`. */
export function finishRemoval(
  host: NetworkNamespace,
  { loopbackLinks, ports }: RemovedHostPorts,
  { warn }: { warn(message: string): void },
): void {
  for (const link of loopbackLinks) tolerate(warn, `close "${link}" to answers for 127.0.0.1`, () => closeLink(host, link));
  tolerate(warn, "forget connections through host ports", () => forgetThrough(host, ports));
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
  return deleteOwned(host, batch, { attachment, sets: [...ownedSets(), ...formerReturnSets()] });
}

/** Elements by their keys. What somebody else has taken over is his. */
function deleteListed(
  host: NetworkNamespace,
  batch: Batch,
  { attachment, items }: { attachment: NameParts; items: readonly Item[] },
): SetElement[] {
  const link = linkOfUser(host, { use: answering(), attachment });
  const places = items.map(readItem).flatMap((item) => ("target" in item ? placesOf(item.target, link) : [item]));
  const own = places.flatMap(({ set, key }) => findOwn(host, { attachment, set, key }) ?? []);
  for (const { set, element } of own) batch.deleteElements(set, [element], { ifPresent: true });
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

function conclude(
  host: NetworkNamespace,
  batch: Batch,
  { links, removed }: { removed: readonly SetElement[]; links: readonly string[] },
): RemovedHostPorts {
  const addresses = new Lists(host, portAddresses());
  for (const entry of removed) forgetPort(addresses, entry);
  addresses.put(batch);
  return { ports: removed.flatMap((each) => readPort(each) ?? []), loopbackLinks: noteClosing(host, batch, links) };
}
