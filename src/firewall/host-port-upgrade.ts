import { BITS } from "../ip/address.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import { type FormerReturn, migrateReturns } from "./former-sets.ts";
import { clientChain } from "./host-port-chains.ts";
import { type ClaimLists, rememberPorts } from "./host-port-claims.ts";
import { clientMaps, itemOfPort, itemOfTarget, loopbackTargets, mapsOfPorts, selfPairs } from "./host-port-sets.ts";
import { adoptUsers } from "./link-use.ts";
import type { Item } from "./lists.ts";
import { answering } from "./loopback.ts";
import { ownerOf, type SetElement } from "./owned.ts";
import { ensureChain, type FixedChain } from "./rules.ts";
import { jumpTo } from "./shared-chain.ts";

/**
 * Takes over what an older version of podlink made for containers that go on running; where there is nothing of it, nothing is done.
 * The chains must have been made anew in the batch.
 * @param wish.plan what is added next
 */
export function upgradeHostPorts(
  host: NetworkNamespace,
  batch: Batch,
  wish: {
    plan: { readonly others: readonly SetElement[]; readonly comment: string; readonly clients: readonly FixedChain[] };
    lists: ClaimLists;
  },
): void {
  const former = migrateReturns(host, batch);
  if (former === undefined) return;
  const { lists, plan } = wish;
  const own = new Set(plan.others.map(({ element }) => String(element.key.at(-1))));
  const made = new Set(plan.clients.map(({ chain }) => chain.name));
  for (const each of former) {
    if (own.has(String(each.target))) continue;
    const { chain, entry } = answersTo(each);
    if (chain !== undefined && !made.has(chain.chain.name)) ensureChain(host, batch, chain);
    if (chain !== undefined) made.add(chain.chain.name);
    put(host, batch, entry);
    note(lists, each.comment, itemOfTarget(each.target));
  }
  for (const set of mapsOfPorts()) {
    const entries = (host.nftables.elements(set) ?? []).map((element) => ({ set, element }));
    rememberPorts(lists.addresses, entries);
    for (const entry of entries) note(lists, entry.element.comment, itemOfPort(entry));
  }
  const reached = host.nftables.elements(loopbackTargets) ?? [];
  const users = reached.filter(({ comment }) => ownerOf(comment) !== ownerOf(plan.comment));
  adoptUsers(host, batch, { use: answering(), users: users.map(({ key, comment }) => ({ link: String(key[0]), comment })) });
}

/** What there is today for clients of a container. */
function answersTo({ clients, comment, target }: FormerReturn): { chain?: FixedChain; entry: SetElement } {
  const { family } = target;
  if (clients.length === BITS[family]) {
    return { entry: { set: selfPairs[family], element: { key: [target, target], comment } } };
  }
  const chain = clientChain(clients.length === 0 ? undefined : clients);
  return { chain, entry: { set: clientMaps[family], element: { key: [target], data: jumpTo(chain), comment } } };
}

function note({ owners }: ClaimLists, comment: string | undefined, item: Item): void {
  const owner = ownerOf(comment);
  if (owner !== undefined) owners.add([owner], item, { comment });
}

function put(host: NetworkNamespace, batch: Batch, { set, element }: SetElement): void {
  const present = host.nftables.element(set, element.key);
  if (present !== undefined) batch.deleteElements(set, [present], { ifPresent: true });
  batch.addElements(set, [element]);
}
