import { lstatSync, readdirSync } from "node:fs";
import type { Address } from "../ip/address.ts";
import { reason } from "../support/errors.ts";
import { shellWord } from "../support/shell-word.ts";
import type { Steps } from "../support/steps.ts";
import { shortBootId } from "../sys/boot-clock.ts";
import { KnownBlocks } from "./full-blocks.ts";
import { syncIndex } from "./index-sync.ts";
import { findByOwner, type Holdings, type Inventory, type Lease, readInventory } from "./inventory.ts";
import { formatLease, type Owner, readLease } from "./lease-file.ts";
import { LeaseIndex, NoIndexError } from "./lease-index.ts";
import { type Origin, ownerKey } from "./lease-record.ts";
import type { RangeSet } from "./range-set.ts";

/** As many addresses are asked for one by one before the directory is listed. */
const MOST_PROBES = 1000;

export interface LedgerOptions {
  readonly steps: Steps;
  readonly warn: (message: string) => void;
}

/**
 * Knows who holds what in a lease directory whose lock we hold: by the index, at a cost that the number of leases does not matter to; or,
 * where no index can be kept, by reading every file.
 */
export class Ledger {
  readonly #dir: string;
  readonly #options: LedgerOptions;
  #index: LeaseIndex | undefined;
  #inventory: Inventory | undefined;
  /** Names of all files, once they have been listed. */
  #names: Set<string> | undefined;
  #probes = 0;
  #sealed = false;
  #damaged: string[] = [];

  constructor(dir: string, options: LedgerOptions) {
    this.#dir = dir;
    this.#options = options;
    this.#orWithout(() => {
      this.#index = new LeaseIndex(dir, shortBootId());
      const state = this.#index.state();
      this.#sealed = state === "exact";
      if (!this.#sealed) this.#sync(this.#index, { everything: state === "unknown" });
    });
  }

  /** The index, where there is one. */
  get index(): LeaseIndex | undefined {
    return this.#index;
  }

  /** Takes the names of files that a crash left without content, as far as they have been met with. */
  takeDamaged(): string[] {
    if (this.#index === undefined) this.#read();
    return this.#damaged.splice(0);
  }

  holdings(owner: Owner): Holdings {
    const index = this.#index;
    if (index === undefined) return findByOwner(this.#read(), owner);
    const keys = [ownerKey(owner), ownerKey({ id: owner.id })];
    const [own, idOnly] = keys.map((key) => this.#verified(index, key));
    const isTrue = [own, idOnly].every((leases, i) => leases?.every(([, lease]) => ownerKey(lease) === keys[i]));
    if (isTrue) return { own: names(own), idOnly: names(idOnly) };
    this.lookAgain(); // a file says something else than when it was read
    return findByOwner(this.#read(), owner);
  }

  /** The leases of a record that are still there, whoever holds them; the record forgets the others. */
  #verified(index: LeaseIndex, key: string): [name: string, lease: Lease][] {
    const found: [string, Lease][] = [];
    for (const name of index.record(key)?.addresses ?? []) {
      const content = readLease(`${this.#dir}/${name}`);
      // of another owner: written over, or the record is of a lease that was somebody else's before
      if (content?.kind === "lease" && (ownerKey(content) === key || index.isKnown(name))) {
        found.push([name, content]);
        continue;
      }
      if (content?.kind === "damaged") this.#damaged.push(name);
      this.#change(`# forget ${name}, which is no lease of ${shellWord(key)}`, () => index.forget(key, name));
    }
    return found;
  }

  /** Leases of all owners whose key (ownerKey) is not valid, by the name of their file. */
  leasesBut(isValid: (key: string) => boolean): ReadonlyMap<string, Lease> {
    const index = this.#index;
    const all =
      index === undefined
        ? [...this.#read().leases]
        : index.keys().flatMap((key) => (isValid(key) ? [] : this.#verified(index, key)));
    return new Map(all.filter(([, lease]) => !isValid(ownerKey(lease))));
  }

  /** Every lease, read anew. */
  allLeases(): ReadonlyMap<string, Lease> {
    return readInventory(this.#dir).leases;
  }

  isUsed(name: string): boolean {
    if (this.#index === undefined) return this.#read().used.has(name);
    if (this.#names === undefined && ++this.#probes > MOST_PROBES) this.#names = new Set(readdirSync(this.#dir));
    return this.#names?.has(name) ?? lstatSync(`${this.#dir}/${name}`, { throwIfNoEntry: false }) !== undefined;
  }

  /** The first free address of a set behind `last`. */
  nextFree(set: RangeSet, last: Address | undefined): Address | undefined {
    const index = this.#index;
    const isUsed = (name: string) => this.isUsed(name);
    if (index === undefined) return set.nextFree(last, isUsed);
    const blocks = new KnownBlocks(index);
    const address = set.nextFree(last, isUsed, blocks);
    if (blocks.found.length > 0) {
      this.#change(`# remember ${blocks.found.length} blocks without a free address`, () => index.markFull(blocks.found));
    }
    return address;
  }

  /**
   * Makes a lease and remembers it.
   * @param how.command for the step that makes the lease's file
   * @returns false when the address is taken, undefined when there is no index to do it by
   */
  lease(name: string, how: { owner: Owner; origin: () => Origin; command: string }): boolean | undefined {
    const { owner, origin, command } = how;
    return this.#withIndex((index) => {
      this.#change(`# remember that ${shellWord(owner.id)} holds ${name}`, () => index.remember(ownerKey(owner), name, origin()));
      const made = this.#options.steps.run(command, () => index.lease(name, formatLease(owner)));
      this.#names?.add(name);
      if (!made) {
        this.#change(`# forget that ${shellWord(owner.id)} holds ${name}`, () => index.forget(ownerKey(owner), name));
      }
      return made;
    });
  }

  /** Notes a file that was made without us. */
  added(name: string): void {
    this.#inventory?.used.add(name);
  }

  /** Notes that a file is gone. @param lease what was in it */
  removed(name: string, lease: Lease | undefined): void {
    this.#names?.delete(name);
    this.#inventory?.used.delete(name);
    this.#inventory?.leases.delete(name);
    this.#withIndex((index) =>
      this.#change(`# forget the lease of ${name}`, () => {
        if (lease !== undefined) index.forget(ownerKey(lease), name);
        index.drop(name);
      }),
    );
  }

  /** Reads every file again, and trusts nothing that was known before. */
  lookAgain(): void {
    this.#names = undefined;
    this.#inventory = undefined;
    this.#withIndex((index) => this.#sync(index, { everything: true }));
  }

  /** All that was changed is known: the next call need not look. */
  seal(): void {
    if (this.#sealed) return;
    this.#withIndex((index) =>
      this.#options.steps.run(`# note in ${shellWord(index.home)} that every lease is known`, () => index.seal()),
    );
    this.#sealed = true;
  }

  #sync(index: LeaseIndex, options: { everything: boolean }): void {
    const what = `# compare ${shellWord(index.home)} with ${options.everything ? "every lease" : "the leases"}`;
    this.#damaged.push(...this.#change(what, () => syncIndex(index, options)));
  }

  #change<T>(command: string, change: () => T): T {
    this.#sealed = false;
    return this.#options.steps.run(command, change);
  }

  #withIndex<T>(work: (index: LeaseIndex) => T): T | undefined {
    const index = this.#index;
    return index === undefined ? undefined : this.#orWithout(() => work(index));
  }

  /** Does without the index from the moment on in which it fails. */
  #orWithout<T>(work: () => T): T | undefined {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof NoIndexError || (error instanceof Error && "code" in error))) throw error; // not the file system's
      this.#options.warn(`Cannot keep an index of the leases in "${this.#dir}", so each one is read: ${reason(error)}`);
      this.#index = undefined;
      return undefined;
    }
  }

  #read(): Inventory {
    if (this.#inventory === undefined) {
      this.#inventory = readInventory(this.#dir);
      this.#damaged.push(...this.#inventory.damaged);
    }
    return this.#inventory;
  }
}

function names(leases: readonly (readonly [name: string, lease: Lease])[] = []): string[] {
  return leases.map(([name]) => name);
}
