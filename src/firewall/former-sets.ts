import { Address, BITS, type Family } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import type { Element } from "../netlink/netfilter/element.ts";
import type { NftSet } from "../netlink/netfilter/set.ts";
import { boundsOf, type Value } from "../netlink/netfilter/values.ts";
import { podlinkTable as table } from "./table.ts";

// What podlink's rules looked into before, and what to do with it on a node that is upgraded while containers run: the first ADD, which
// fills the chains anew, takes the elements over and deletes the sets. Until then DEL and GC find elements there by their comments.

const families = [4, 6] as const;

function sourceSet(family: Family): NftSet {
  return { table, name: `masquerade${family}`, key: [`ipv${family}_addr`] };
}

/** Of addresses and the prefixes that they sent to under their own name. */
function insideSet(family: Family): NftSet {
  return { table, name: `inside${family}`, key: [`ipv${family}_addr`, `ipv${family}_addr`], interval: true };
}

/** Of prefixes, and the addresses with host ports whose answers to them had to pass the node. */
function returnSet(family: Family): NftSet {
  return { table, name: `hostport_return${family}`, key: [`ipv${family}_addr`, `ipv${family}_addr`], interval: true };
}

export function formerMasqueradeSets(): NftSet[] {
  return families.flatMap((family) => [sourceSet(family), insideSet(family)]);
}

export function formerReturnSets(): NftSet[] {
  return families.map(returnSet);
}

/** A masqueraded address, and where it keeps being itself. */
export interface FormerSource {
  readonly address: Address;
  readonly destinations: readonly Prefix[];
  readonly comment: string | undefined;
}

/** Deletes the sets, which nothing may look into when the batch comes to it. @returns what was in them */
export function migrateMasquerade(host: NetworkNamespace, batch: Batch): FormerSource[] {
  return families.flatMap((family) => {
    const found = takeAll(host, batch, sourceSet(family)) ?? [];
    const inside = new Map<string, Prefix[]>();
    for (const { key } of takeAll(host, batch, insideSet(family)) ?? []) {
      const [source, destination] = key;
      inside.set(String(source), [...(inside.get(String(source)) ?? []), ...prefixOf(destination)]);
    }
    return found.flatMap(({ key: [address], comment }) =>
      address instanceof Address ? [{ address, comment, destinations: inside.get(String(address)) ?? [] }] : [],
    );
  });
}

/** Whose answers to whom had to pass the node. */
export interface FormerReturn {
  readonly clients: Prefix;
  readonly target: Address;
  readonly comment: string | undefined;
}

/** Deletes the sets, which nothing may look into when the batch comes to it. @returns what was in them; undefined: there are none */
export function migrateReturns(host: NetworkNamespace, batch: Batch): FormerReturn[] | undefined {
  const found = formerReturnSets().flatMap((set) => {
    const elements = takeAll(host, batch, set);
    return elements === undefined ? [] : [elements];
  });
  if (found.length === 0) return undefined;
  return found
    .flat()
    .flatMap(({ key: [sources, target], comment }) =>
      target instanceof Address ? prefixOf(sources).map((clients) => ({ clients, target, comment })) : [],
    );
}

function takeAll(host: NetworkNamespace, batch: Batch, set: NftSet): Element[] | undefined {
  const elements = host.nftables.elements(set);
  if (elements !== undefined) batch.deleteSet(set, { ifPresent: true });
  return elements;
}

/** The kernel tells of a prefix only where it starts and ends. */
function prefixOf(value: Value | undefined): Prefix[] {
  if (value === undefined) return [];
  const { first, last } = boundsOf(value);
  if (!(first instanceof Address) || !(last instanceof Address)) return [];
  const hostBits = (last.value ^ first.value).toString(2).replace(/^0$/, "").length;
  return [new Prefix(first, BITS[first.family] - hostBits)];
}
