import { Failures } from "../support/errors.ts";
import type { Grant } from "./allocator.ts";
import { findByOwner } from "./inventory.ts";
import type { Owner } from "./lease-file.ts";
import type { LeaseStore } from "./lease-store.ts";

/** Releases what an owner holds; only where there is nothing, the leases of early writers, which know the id alone. */
export function release(store: LeaseStore, owner: Owner): void {
  const { own, idOnly } = findByOwner(store.inventory(), owner);
  const failures = new Failures();
  for (const name of own.length > 0 ? own : idOnly) failures.attempt(`release ${name}`, () => store.remove(name));
  failures.throwAny();
}

/** Releases these of an owner's addresses and no other, as far as the owner still holds them. */
export function releaseGrants(store: LeaseStore, owner: Owner, grants: readonly Grant[]): void {
  const { own } = findByOwner(store.inventory(), owner);
  for (const { address } of grants) {
    const name = address.address.toString();
    if (own.includes(name)) store.remove(name);
  }
}

/** Releases everything whose owner is not `valid`, and what a crash left without content; goes on after a failure and reports all. */
export function releaseStale(store: LeaseStore, valid: readonly Owner[]): void {
  const ids = new Set(valid.map(({ id }) => id));
  const owners = new Set(valid.map(keyOf));
  const inventory = store.inventory();
  const failures = new Failures();
  for (const name of inventory.damaged) failures.attempt(`remove damaged ${name}`, () => store.removeDamaged(name));
  for (const [name, { id, ifname }] of inventory.leases) {
    const isValid = ifname === undefined ? ids.has(id) : owners.has(keyOf({ id, ifname }));
    if (!isValid) failures.attempt(`release ${name}`, () => store.remove(name));
  }
  failures.throwAny();
}

/** A slash is in no interface's name. */
function keyOf({ id, ifname }: Owner): string {
  return `${id}/${ifname}`;
}
