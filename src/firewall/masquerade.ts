import type { Address } from "../ip/address.ts";
import type { Prefix } from "../ip/prefix.ts";
import type { NameParts } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import { type NftSet, setText } from "../netlink/netfilter/set.ts";
import { inSet, oneOf } from "../netlink/netfilter/statements/lookup.ts";
import { masked } from "../netlink/netfilter/statements/match.ts";
import { masquerade } from "../netlink/netfilter/statements/nat.ts";
import { verdict } from "../netlink/netfilter/statements/verdict.ts";
import type { Failures } from "../support/errors.ts";
import { collectOwned, deleteOwned, ownerComment, ownerOf } from "./owned.ts";
import { checkChain, ensureChain, type FixedChain, rehearseChain } from "./rules.ts";
import { podlinkTable } from "./table.ts";

// What containers send to the outside leaves the node under the node's own address. Six rules, whatever the number of containers:
//
//   set masquerade4  10.90.0.2                    the containers' addresses
//   set inside4      10.90.0.2 . 10.90.0.0/24     and to where each sends under its own address
//
// Both belong to attachments, so networks with the same or overlapping subnets do not meet in them.

/** What kube-proxy and others mark packets with that they masquerade themselves, or do not want to be. */
const KUBERNETES_MARK = 0x4000;

/** nft's srcnat. */
const SOURCE_NAT = 100;

const table = podlinkTable;
const sources = {
  4: { table, name: "masquerade4", key: ["ipv4_addr"] },
  6: { table, name: "masquerade6", key: ["ipv6_addr"] },
} as const satisfies Record<4 | 6, NftSet>;
const inside = {
  4: { table, name: "inside4", key: ["ipv4_addr", "ipv4_addr"], interval: true },
  6: { table, name: "inside6", key: ["ipv6_addr", "ipv6_addr"], interval: true },
} as const satisfies Record<4 | 6, NftSet>;
const sets: readonly NftSet[] = [sources[4], sources[6], inside[4], inside[6]];

function masqueradeChain(): FixedChain {
  return {
    // Not "masquerade": nft takes no word of its language for a name
    chain: { table, name: "masquerading", base: { type: "nat", hook: "postrouting", priority: SOURCE_NAT } },
    sets,
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
      ["inside a network", inSet(["ip saddr", "ip daddr"], inside[4]), verdict("return")],
      ["inside a network, IPv6", inSet(["ip6 saddr", "ip6 daddr"], inside[6]), verdict("return")],
      ["from containers to the outside", inSet(["ip saddr"], sources[4]), masquerade({ fullyRandom: true })],
      ["from containers to the outside, IPv6", inSet(["ip6 saddr"], sources[6]), masquerade({ fullyRandom: true })],
    ],
  };
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
  ensureChain(host, batch, masqueradeChain());
  const comment = ownerComment(wanted.attachment);
  for (const { address, destinations } of pairsOf(wanted)) {
    clearAddress(host, batch, address);
    batch.addElements(sources[address.family], [{ key: [address], comment }]);
    batch.addElements(
      inside[address.family],
      destinations.map((destination) => ({ key: [address, destination], comment })),
    );
  }
}

/** An element that is there keeps its comment when it is added again, so it goes first, and its pairs, which might overlap, with it. */
function clearAddress(host: NetworkNamespace, batch: Batch, address: Address): void {
  const set = sources[address.family];
  if (host.nftables.element(set, [address]) === undefined) return;
  batch.deleteElements(set, [{ key: [address] }], { ifPresent: true });
  const pairs = host.nftables.elements(inside[address.family]) ?? [];
  const own = pairs.filter(({ key: [source] }) => String(source) === String(address));
  if (own.length > 0) batch.deleteElements(inside[address.family], own, { ifPresent: true });
}

/** Ends the masquerading of an attachment, found by its names alone. */
export function deleteMasquerade(host: NetworkNamespace, batch: Batch, attachment: NameParts): void {
  deleteOwned(host, batch, { attachment, sets });
}

/** Ends the masquerading of a network's attachments that are not valid any more. */
export function collectMasquerade(
  host: NetworkNamespace,
  batch: Batch,
  options: { network: string; valid: readonly Omit<NameParts, "network">[] },
): void {
  collectOwned(host, batch, { ...options, sets });
}

/** Compares what addMasquerade makes with what is there; every difference is kept in `failures`, by name. */
export function checkMasquerade(host: NetworkNamespace, failures: Failures, wanted: Masquerading): void {
  checkChain(host, failures, masqueradeChain());
  const owner = ownerOf(ownerComment(wanted.attachment));
  for (const { address, destinations } of pairsOf(wanted)) {
    const keys = [
      { set: sources[address.family], key: [address] },
      ...destinations.map((destination) => ({ set: inside[address.family], key: [address, destination] })),
    ];
    for (const { set, key } of keys) {
      failures.attempt(`find ${key.join(" . ")} in set "${setText(set)}"`, () => {
        const found = host.nftables.element(set, key);
        if (found === undefined) throw new Error("it is not there");
        if (ownerOf(found.comment) !== owner) throw new Error(`it belongs to "${found.comment ?? ""}"`);
      });
    }
  }
}

/** Asks the kernel whether it can masquerade, and changes nothing. @throws NftablesError that names what it lacks */
export function rehearseMasquerade(host: NetworkNamespace): void {
  rehearseChain(host, masqueradeChain());
}

/** Each address with the destinations that it sends to under its own name; none of them overlap. */
function pairsOf({ addresses, except }: Masquerading): { address: Address; destinations: Prefix[] }[] {
  return addresses.map((prefix) => {
    const all = [prefix, ...except.filter(({ family }) => family === prefix.family)].map((each) => each.network());
    const destinations = all.filter(
      (one, place) => !all.some((other, at) => at !== place && covers(other, one) && (!other.equals(one) || at < place)),
    );
    return { address: prefix.address, destinations };
  });
}

/** Prefixes overlap only where one holds the other. */
function covers(outer: Prefix, inner: Prefix): boolean {
  return outer.length <= inner.length && outer.contains(inner.address);
}
