import { Failures } from "../support/errors.ts";
import type { Grant } from "./allocator.ts";
import type { Owner } from "./lease-file.ts";
import { ownerKey } from "./lease-record.ts";
import type { LeaseStore } from "./lease-store.ts";

/** Releases what an owner holds; only where there is nothing, the leases of early writers, which know the id alone. */
export function release(store: LeaseStore, owner: Owner): void {
  const { own, idOnly } = store.holdings(owner);
  const [names, { id, ifname }] = own.length > 0 ? [own, owner] : [idOnly, { id: owner.id, ifname: undefined }];
  const lease = { kind: "lease", id, ...(ifname === undefined ? {} : { ifname }) } as const;
  const failures = new Failures();
  for (const name of names) failures.attempt(`release ${name}`, () => store.remove(name, lease));
  failures.throwAny();
  store.seal();
}

/** Releases these of an owner's addresses and no other, as far as the owner still holds them. */
export function releaseGrants(store: LeaseStore, owner: Owner, grants: readonly Grant[]): void {
  const { own } = store.holdings(owner);
  for (const { address } of grants) {
    const name = address.address.toString();
    if (own.includes(name)) store.remove(name, { kind: "lease", ...owner });
  }
  store.seal();
}

/** Releases everything whose owner is not `valid`, and what a crash left without content; goes on after a failure and reports all. */
export function releaseStale(store: LeaseStore, valid: readonly Owner[]): void {
  const keys = setOf(valid.map(ownerKey));
  let ids: StringSet | undefined; // early writers know the id alone
  const isValid = (key: string): boolean => {
    if (keys[key] === true || !key.endsWith(",")) return keys[key] === true;
    ids ??= setOf(valid.map(({ id }) => ownerKey({ id })));
    return ids[key] === true;
  };
  const failures = new Failures();
  for (const [name, lease] of store.leasesBut(isValid)) failures.attempt(`release ${name}`, () => store.remove(name, lease));
  failures.throwAny();
  store.seal();
}

/** Twice as fast as a Set where the strings have been put together and are asked for once. */
type StringSet = Record<string, true>;

function setOf(strings: readonly string[]): StringSet {
  const set: StringSet = Object.create(null);
  for (const text of strings) set[text] = true;
  return set;
}
