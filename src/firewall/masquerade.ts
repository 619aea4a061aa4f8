import { type Address, BITS } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import { hostLinkName, type NameParts } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import type { NftSet } from "../netlink/netfilter/set.ts";
import { oneOf, verdictMap } from "../netlink/netfilter/statements/lookup.ts";
import { masked, match } from "../netlink/netfilter/statements/match.ts";
import { masquerade } from "../netlink/netfilter/statements/nat.ts";
import { verdict } from "../netlink/netfilter/statements/verdict.ts";
import { formerMasqueradeSets, migrateMasquerade } from "./former-sets.ts";
import { fromEither, Lists, listMap, toEither } from "./lists.ts";
import { collectOwned, deleteOwned, findOwn, fitComment, ownerComment, ownerOf } from "./owned.ts";
import { ensureChain, type FixedChain, isComplete, rehearseChain } from "./rules.ts";
import { collectSharedChains, jumpTo, sharedChain, targetOf } from "./shared-chain.ts";
import { podlinkTable } from "./table.ts";

// What containers send to the outside leaves the node under the node's own address. Four rules, whatever the number of containers:
//
//   map masqueraded4       10.90.0.2 : jump outside_k3d9x7f2   the containers' addresses
//   chain outside_k3d9x7f2                                     to where each sends under its own address, and masquerades the rest
//   map masquerade_owners  "plk3d9x7f2mq4ta" . 0 : …           the addresses of an attachment, for DEL
//
// A set of pairs of addresses and prefixes would do with fewer chains, but the kernel copies and searches such a set as a whole for each
// element that goes. Elements belong to attachments, so networks with the same or overlapping subnets do not meet in them; a chain is for
// all with the same destinations.

/** What kube-proxy and others mark packets with that they masquerade themselves, or do not want to be. */
const KUBERNETES_MARK = 0x4000;

/** nft's srcnat. */
const SOURCE_NAT = 100;

const table = podlinkTable;
/** Masqueraded addresses, each with a jump to the chain for its destinations. */
export const sources = {
  4: { table, name: "masqueraded4", key: ["ipv4_addr"], data: "verdict" },
  6: { table, name: "masqueraded6", key: ["ipv6_addr"], data: "verdict" },
} as const satisfies Record<4 | 6, NftSet>;
const maps: readonly NftSet[] = [sources[4], sources[6]];

/** The addresses of attachments. */
export function owners(): NftSet {
  const comment = "attachments, and which addresses of theirs are masqueraded";
  return listMap("masquerade_owners", { key: ["ifname"], item: ["ipv6_addr"], comment });
}

/** The chain that is there for all. */
export function masqueradeChain(): FixedChain {
  return {
    // Not "masquerade": nft takes no word of its language for a name
    chain: { table, name: "masquerading", base: { type: "nat", hook: "postrouting", priority: SOURCE_NAT } },
    sets: maps,
    rules: [
      [
        "kube-proxy masquerades what it has marked",
        masked("meta mark", { mask: KUBERNETES_MARK, value: KUBERNETES_MARK }),
        verdict("return"),
      ],
      [
        "to the node itself, and to many at once",
        oneOf("fib daddr type", ["local", "multicast", "broadcast"]),
        verdict("return"),
      ],
      ["from containers", verdictMap(["ip saddr"], sources[4])],
      ["from containers, IPv6", verdictMap(["ip6 saddr"], sources[6])],
    ],
  };
}

/** What the destinations stand behind in the comment of their rule, as far as there is room. */
export const INSIDE = "inside:";

/** Masquerades what is not for these destinations, of which none overlap. */
export function outsideChain(destinations: readonly Prefix[]): FixedChain {
  const [first] = destinations;
  const rest: FixedChain["rules"][number] = ["from containers to the outside", masquerade({ fullyRandom: true })];
  if (first === undefined) return sharedChain("outside", { what: "everything", rules: [rest] });
  const what = destinations.map(String).join(", ");
  const field = first.family === 4 ? "ip daddr" : "ip6 daddr";
  const inside = destinations.length === 1 ? match(field, first) : oneOf(field, destinations);
  return sharedChain("outside", { what, rules: [[fitComment([INSIDE, what]), inside, verdict("return")], rest] });
}

/** What of an attachment is masqueraded. */
export interface Masquerading {
  readonly attachment: NameParts;
  /** Its addresses, each with the length of its network. */
  readonly addresses: readonly Prefix[];
  /** Destinations beside its networks that see the container's own address. */
  readonly except: readonly Prefix[];
}

/** Masquerades what these addresses send to the outside. An address that somebody else left behind is taken over. */
export function addMasquerade(host: NetworkNamespace, batch: Batch, wanted: Masquerading): void {
  const comment = ownerComment(wanted.attachment);
  const own = placesOf(wanted).map((place) => ({ ...place, comment }));
  const places = [...ensureMasquerading(host, batch, { except: own }), ...own];
  for (const chain of distinct(places)) ensureChain(host, batch, chain);
  for (const place of places) masqueradeAddress(host, batch, place);
  const lists = new Lists(host, owners());
  for (const { address, comment } of places) {
    const owner = ownerOf(comment);
    if (owner !== undefined) lists.add([owner], [toEither(address)], { comment });
  }
  lists.put(batch);
}

/** An address, and the chain for what it sends. */
export interface Place {
  readonly address: Address;
  readonly destinations: readonly Prefix[];
  readonly chain: FixedChain;
}

/** Makes the chain that is there for all. @returns what the sets of an older version had, but for addresses that are somebody's now */
function ensureMasquerading(
  host: NetworkNamespace,
  batch: Batch,
  { except }: { except: readonly Place[] },
): (Place & { readonly comment: string | undefined })[] {
  if (isComplete(host, masqueradeChain())) return [];
  ensureChain(host, batch, masqueradeChain());
  return migrateMasquerade(host, batch).flatMap(({ address, comment, destinations }) => {
    if (except.some((own) => own.address.equals(address))) return [];
    return placesOf({ addresses: [Prefix.host(address)], except: destinations }).map((place) => ({ ...place, comment }));
  });
}

/** The chains of some addresses, none twice. */
export function distinct(places: readonly Place[]): Iterable<FixedChain> {
  return new Map(places.map(({ chain }) => [chain.chain.name, chain])).values();
}

/** An element that is there keeps its comment when it is added again, so it goes first. */
function masqueradeAddress(
  host: NetworkNamespace,
  batch: Batch,
  { address, chain, comment }: Place & { readonly comment: string | undefined },
): void {
  const [map, key] = [sources[address.family], [address]];
  const present = host.nftables.element(map, key);
  if (present !== undefined && present.comment === comment && targetOf(present) === chain.chain.name) return;
  if (present !== undefined) batch.deleteElements(map, [{ key }], { ifPresent: true });
  batch.addElements(map, [{ key, data: jumpTo(chain), comment }]);
}

/** Ends the masquerading of an attachment, found by its names alone. */
export function deleteMasquerade(host: NetworkNamespace, batch: Batch, attachment: NameParts): void {
  const name = [hostLinkName(attachment)];
  const lists = new Lists(host, owners());
  const addresses = lists.get(name);
  if (addresses === undefined) {
    // None, of an older version, or somebody flushed the map
    deleteOwned(host, batch, { attachment, sets: [...maps, owners(), ...formerMasqueradeSets()] });
    return;
  }
  const places = addresses
    .map(([value]) => fromEither(value))
    .map((address) => ({ set: sources[address.family], key: [address] }));
  for (const { set, element } of findOwn(host, { attachment, places })) batch.deleteElements(set, [element], { ifPresent: true });
  lists.drop(name);
  lists.put(batch);
}

/** Ends the masquerading of a network's attachments that are not valid any more, and deletes the chains that nobody needs. */
export function collectMasquerade(
  host: NetworkNamespace,
  batch: Batch,
  options: { network: string; valid: readonly Omit<NameParts, "network">[] },
): void {
  const gone = collectOwned(host, batch, { ...options, sets: [...maps, owners(), ...formerMasqueradeSets()] });
  collectSharedChains(host, batch, { kind: "outside", maps, gone });
}

/** Asks the kernel whether it can masquerade, and changes nothing. @throws NftablesError that names what it lacks */
export function rehearseMasquerade(host: NetworkNamespace): void {
  rehearseChain(host, masqueradeChain());
}

/** Each address with the chain for its destinations. */
export function placesOf({ addresses, except }: Pick<Masquerading, "addresses" | "except">): Place[] {
  return addresses.map((prefix) => {
    const { address } = prefix;
    const destinations = destinationsOf(address, [prefix, ...except]);
    return { address, destinations, chain: outsideChain(destinations) };
  });
}

/**
 * What an address sends to under its own name, sorted, none overlapping. That a container sends something to itself by way of the node
 * is no matter of this, so one that stands alone (/32, /128) has no destination of its own, and no chain of its own.
 */
function destinationsOf(address: Address, prefixes: readonly Prefix[]): Prefix[] {
  const all = prefixes
    .filter(
      (prefix) => prefix.family === address.family && !(prefix.length === BITS[prefix.family] && prefix.address.equals(address)),
    )
    .map((each) => each.network());
  return all
    .filter((one, place) => !all.some((other, at) => at !== place && covers(other, one) && (!other.equals(one) || at < place)))
    .sort((one, other) => one.address.compare(other.address));
}

/** Prefixes overlap only where one holds the other. */
export function covers(outer: Prefix, inner: Prefix): boolean {
  return outer.length <= inner.length && outer.contains(inner.address);
}
