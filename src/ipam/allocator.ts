import { Address } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import { Rollback } from "../support/rollback.ts";
import { findByOwner, type Inventory } from "./inventory.ts";
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
 * Leases one address of each set to `owner`: all of them, or on any failure none.
 * @throws UnavailableError, DuplicateLeaseError, or what the file system says
 */
export function allocate(store: LeaseStore, { sets, requests, owner, warn }: AllocateOptions): Grant[] {
  const inventory = store.inventory();
  refuseDuplicates(inventory, { sets, owner });
  for (const name of inventory.damaged) store.removeDamaged(name);
  using undo = new Rollback(warn);
  const grants = sets.map((set, index) => {
    const request = { set, index, address: requests[index], owner };
    const address = take(store, inventory, request);
    undo.defer(`release ${address}`, () => store.remove(address.toString()));
    return grant(set, address);
  });
  undo.commit();
  return grants;
}

function refuseDuplicates(inventory: Inventory, { sets, owner }: { sets: readonly RangeSet[]; owner: Owner }): void {
  const { own, idOnly } = findByOwner(inventory, owner);
  for (const name of [...own, ...idOnly]) {
    const address = Address.tryParse(name);
    if (address !== undefined && sets.some((set) => set.rangeOf(address) !== undefined)) {
      throw new DuplicateLeaseError(`${address} has been allocated to ${owner.id}, duplicate allocation is not allowed`);
    }
  }
}

interface Request {
  readonly set: RangeSet;
  readonly index: number;
  readonly address: Address | undefined;
  readonly owner: Owner;
}

function take(store: LeaseStore, { used, leases }: Inventory, { set, index, address: wanted, owner }: Request): Address {
  const isUsed = (name: string): boolean => used.has(name);
  const last = wanted === undefined ? store.lastReserved(index) : undefined;
  for (;;) {
    const address = wanted ?? set.nextFree(last, isUsed);
    if (address === undefined) throw new UnavailableError(`no IP addresses available in range set: ${set}`);
    const name = address.toString();
    // `put` refuses only what somebody took without holding the lock
    if (!isUsed(name) && store.put(address, owner)) {
      used.add(name);
      store.setLastReserved(index, address);
      return address;
    }
    if (wanted !== undefined) {
      const holder = leases.get(name);
      const by = holder === undefined ? "" : `: held by ${ownerName(holder)}`;
      throw new UnavailableError(`requested IP address ${wanted} is not available in range set ${set}${by}`);
    }
    used.add(name);
  }
}

function grant(set: RangeSet, address: Address): Grant {
  const range = set.rangeOf(address);
  if (range === undefined) throw new RangeError(`${address} is not in range set ${set}`);
  return { address: new Prefix(address, range.subnet.length), gateway: range.gateway };
}
