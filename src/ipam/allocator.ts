import { Address } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import { Rollback } from "../support/rollback.ts";
import { type Owner, ownerName } from "./lease-file.ts";
import type { LeaseStore } from "./lease-store.ts";
import type { RangeSet } from "./range-set.ts";

/** No address can be had now; later, when others have released theirs, it may be. */
export class UnavailableError extends Error {}

/** The owner holds an address of the set already. */
export class DuplicateLeaseError extends Error {}

/** An address that was leased. */
export interface Grant {
  /** With the length of its subnet. */
  readonly address: Prefix;
  readonly gateway: Address;
}

/**
 * Decides which set is to give which requested address: each set the first one that lies in it, in the order given.
 * @returns one entry per set, undefined where any address will do
 * @throws RangeError for a gateway, and for addresses that no set is left to give
 */
export function assignRequests(sets: readonly RangeSet[], requested: readonly Address[]): (Address | undefined)[] {
  const rest = requested.filter((address, i) => requested.findIndex((earlier) => earlier.equals(address)) === i);
  const assigned = sets.map((set) => {
    const at = rest.findIndex((address) => set.rangeOf(address) !== undefined);
    return at < 0 ? undefined : rest.splice(at, 1)[0];
  });
  for (const [i, address] of assigned.entries()) {
    if (address === undefined || sets[i]?.leases(address) !== false) continue;
    throw new RangeError(`requested ip ${address} is subnet's gateway`);
  }
  if (rest.length > 0) {
    const why = `each range set gives one address, and there are ${sets.map((set) => `"${set}"`).join(", ")}`;
    throw new RangeError(`failed to allocate all requested IPs: ${rest.join(" ")}: ${why}`);
  }
  return assigned;
}

export interface AllocateOptions {
  readonly sets: readonly RangeSet[];
  /** From `assignRequests`. */
  readonly requests: readonly (Address | undefined)[];
  readonly owner: Owner;
  readonly warn: (message: string) => void;
}

/**
 * Leases one address of each set to `owner`: all of them, or on any failure none. Where nothing is free, leases that no container can
 * hold any more are taken back first.
 * @throws UnavailableError, DuplicateLeaseError, or what the file system says
 */
export function allocate(store: LeaseStore, { sets, requests, owner, warn }: AllocateOptions): Grant[] {
  try {
    refuseDuplicates(store, { sets, owner });
    const grants = takeAll(store, { sets, requests, owner, warn });
    store.seal();
    return grants;
  } catch (error) {
    sealAnyway(store);
    throw error;
  }
}

function takeAll(store: LeaseStore, { sets, requests, owner, warn }: AllocateOptions): Grant[] {
  using undo = new Rollback(warn);
  const grants = sets.map((set, index) => {
    const address = take(store, { set, index, address: requests[index], owner });
    undo.defer(`release ${address}`, () => store.remove(address.toString(), { kind: "lease", ...owner }));
    return grant(set, address);
  });
  undo.commit();
  return grants;
}

function sealAnyway(store: LeaseStore): void {
  try {
    store.seal();
  } catch {
    // it costs the next call a look at every file; the error that ended this one matters more
  }
}

function refuseDuplicates(store: LeaseStore, { sets, owner }: { sets: readonly RangeSet[]; owner: Owner }): void {
  const { own, idOnly } = store.holdings(owner);
  for (const name of [...own, ...idOnly]) {
    const address = Address.tryParse(name);
    if (address === undefined || !sets.some((set) => set.rangeOf(address) !== undefined)) continue;
    if (!reclaimStale(store, name)) {
      throw new DuplicateLeaseError(`${address} has been allocated to ${owner.id}, duplicate allocation is not allowed`);
    }
  }
}

/** @returns whether the address is free now */
function reclaimStale(store: LeaseStore, name: string): boolean {
  const lease = store.read(name);
  if (lease?.kind === "damaged") {
    store.removeDamaged(name);
    return true;
  }
  const why = lease?.kind === "lease" ? store.whyStale(name, lease) : undefined;
  if (lease?.kind !== "lease" || why === undefined) return false;
  store.reclaim(name, { lease, why });
  return true;
}

interface Request {
  readonly set: RangeSet;
  readonly index: number;
  readonly address: Address | undefined;
  readonly owner: Owner;
}

function take(store: LeaseStore, { set, index, address: wanted, owner }: Request): Address {
  const address = wanted === undefined ? takeNext(store, { set, index, owner }) : takeWanted(store, { set, wanted, owner });
  store.setLastReserved(index, address);
  return address;
}

function takeWanted(store: LeaseStore, { set, wanted, owner }: { set: RangeSet; wanted: Address; owner: Owner }): Address {
  const name = wanted.toString();
  if (store.put(wanted, owner) || (reclaimStale(store, name) && store.put(wanted, owner))) return wanted;
  const holder = store.read(name);
  const by = holder?.kind === "lease" ? `: held by ${ownerName(holder)}` : "";
  throw new UnavailableError(`requested IP address ${wanted} is not available in range set ${set}${by}`);
}

function takeNext(store: LeaseStore, { set, index, owner }: { set: RangeSet; index: number; owner: Owner }): Address {
  let last = store.lastReserved(index);
  const refused = new Set<bigint>();
  for (let healed = false; ; ) {
    const address = store.nextFree(set, last);
    if (address === undefined) {
      if (healed) throw new UnavailableError(`no IP addresses available in range set: ${set}`);
      store.heal(set);
      healed = true;
    } else if (store.put(address, owner)) return address;
    else if (refused.has(address.value)) throw new Error(`"${address}" can neither be taken nor is it there`);
    else {
      // somebody took it without holding the lock
      refused.add(address.value);
      last = address;
    }
  }
}

function grant(set: RangeSet, address: Address): Grant {
  const range = set.rangeOf(address);
  if (range === undefined) throw new RangeError(`${address} is not in range set ${set}`);
  return { address: new Prefix(address, range.subnet.length), gateway: range.gateway };
}
