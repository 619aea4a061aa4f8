import { linkSync, lstatSync } from "node:fs";
import { join } from "node:path";
import { Address } from "../ip/address.ts";
import { makeDirectories } from "../support/directories.ts";
import { during, reason } from "../support/errors.ts";
import { shellWord } from "../support/shell-word.ts";
import { isErrno } from "../sys/errno.ts";
import type { FileLock } from "../sys/file-lock.ts";
import { NEW_LEASE } from "./index-sync.ts";
import type { Holdings, Lease } from "./inventory.ts";
import { type Content, formatLease, type Owner, readLease } from "./lease-file.ts";
import { type Origin, originOf } from "./lease-record.ts";
import { Ledger, type LedgerOptions } from "./ledger.ts";
import { create, kindOf, overwrite, readBeginning, unlink } from "./own-files.ts";
import type { RangeSet } from "./range-set.ts";
import { StaleProof } from "./stale.ts";
import { lockStore } from "./store-lock.ts";

// The directory of one network, in the format of the reference's host-local, so that both can work on it in turns:
//   <address>            lease-file.ts; mode 0600
//   last_reserved_ip.<i> where the next search in range set i begins, as text
//   lock                 empty; flock(2) on it guards everything else
//   .new                 ours: a lease before it has its name, where there is no index. Both implementations take it for no address.
// What we know of it beyond that is kept elsewhere (lease-index.ts).

export interface StoreOptions extends LedgerOptions {
  /** How long to wait for another process's lock. */
  readonly lockTimeoutMs: number;
  /** Path of the network namespace that leases are made for; what is noted of it tells later whether they are stale. */
  readonly netns?: string;
}

/** The leases of one network while we hold their lock. Taken with `using`. */
export class LeaseStore implements Disposable {
  readonly #dir: string;
  readonly #options: StoreOptions;
  readonly #lock: FileLock;
  readonly #ledger: Ledger;
  #origin: Origin | undefined;
  #proof: StaleProof | undefined;

  private constructor(dir: string, options: StoreOptions) {
    this.#dir = dir;
    this.#options = options;
    this.#lock = lockStore(dir, { steps: options.steps, timeoutMs: options.lockTimeoutMs });
    try {
      this.#ledger = new Ledger(dir, options);
      this.#removeDamaged();
    } catch (error) {
      this.#lock[Symbol.dispose]();
      throw error;
    }
  }

  /** Makes the directory where there is none, and locks it. @throws LockTimeoutError that names the holder where it can */
  static create(dir: string, options: StoreOptions): LeaseStore {
    const kind = kindOf(dir);
    if (kind === "link") throw new Error(`"${dir}" is a symbolic link, which is not followed`);
    if (kind !== "directory") {
      options.steps.run(`mkdir -p ${shellWord(dir)}`, () => during(`make directory "${dir}"`, () => makeDirectories(dir, 0o755)));
    }
    return new LeaseStore(dir, options);
  }

  /** Locks an existing directory; undefined when there is none, and so no lease. @throws LockTimeoutError as `create` */
  static open(dir: string, options: StoreOptions): LeaseStore | undefined {
    const kind = kindOf(dir);
    if (kind === "link") options.warn(`"${dir}" is a symbolic link, which is not followed: no lease in it counts`);
    return kind === "directory" ? new LeaseStore(dir, options) : undefined;
  }

  holdings(owner: Owner): Holdings {
    const holdings = this.#ledger.holdings(owner);
    this.#removeDamaged();
    return holdings;
  }

  /** Leases of all owners whose key (ownerKey) is not valid, by the name of their file. */
  leasesBut(isValid: (key: string) => boolean): ReadonlyMap<string, Lease> {
    return this.#ledger.leasesBut(isValid);
  }

  /** The first free address of a set behind `last`; undefined when there is none. */
  nextFree(set: RangeSet, last: Address | undefined): Address | undefined {
    return this.#ledger.nextFree(set, last);
  }

  /** What the file of an address says now. */
  read(name: string): Content | undefined {
    return readLease(join(this.#dir, name));
  }

  /**
   * Leases an address: its file is there whole or not at all, however the process ends.
   * There is no fsync: after a power cut the file may be empty, an empty file counts as free, and no container has survived that cut.
   * @returns false when the address is taken
   */
  put(address: Address, owner: Owner): boolean {
    const name = address.toString();
    const path = join(this.#dir, name);
    const content = `printf '%s\\r\\n%s' ${shellWord(owner.id)} ${shellWord(owner.ifname)}`;
    const command = `(umask 077; set -C; ${content} > ${shellWord(path)})`;
    return during(`write lease "${path}"`, () => {
      const made = this.#ledger.lease(name, { owner, command, origin: () => this.#ownOrigin() });
      if (made !== undefined) return made;
      try {
        this.#options.steps.run(command, () => this.#link(owner, path));
        this.#ledger.added(name);
        return true;
      } catch (error) {
        if (!isErrno(error, "EEXIST")) throw error;
        this.#ledger.added(name);
        return false;
      }
    });
  }

  #link(owner: Owner, path: string): void {
    const fresh = join(this.#dir, NEW_LEASE);
    unlink(fresh); // never truncated: by its other name it may be the lease of a call that was killed
    try {
      create(fresh, formatLease(owner));
      linkSync(fresh, path);
    } finally {
      try {
        unlink(fresh);
      } catch {
        // the lease stands; the next write removes what is left here
      }
    }
  }

  /** @param name of a lease file; one that is gone is as good as removed @param lease what was in it */
  remove(name: string, lease?: Lease): void {
    const path = join(this.#dir, name);
    this.#options.steps.run(`rm -f ${shellWord(path)}`, () => during(`remove lease "${path}"`, () => unlink(path)));
    this.#ledger.removed(name, lease);
  }

  /** Removes a file that a crash left without content, and tells so. */
  removeDamaged(name: string): void {
    const path = join(this.#dir, name);
    this.#options.warn(`Lease file "${path}" is empty or damaged, as a crash leaves it: the address counts as free`);
    this.remove(name);
  }

  /** All of them that have been met with. One that stays blocks its address and nothing else. */
  #removeDamaged(): void {
    for (const name of this.#ledger.takeDamaged()) {
      try {
        this.removeDamaged(name);
      } catch (error) {
        this.#options.warn(reason(error));
      }
    }
  }

  /** Why no container can hold the lease of an address any more; undefined when one may. */
  whyStale(name: string, lease: Lease): string | undefined {
    this.#proof ??= new StaleProof(this.#ownOrigin());
    const mtimeMs = lstatSync(join(this.#dir, name), { throwIfNoEntry: false })?.mtimeMs;
    if (mtimeMs === undefined) return undefined;
    return this.#proof.why({ origin: this.#ledger.index?.originOf(name, lease), mtimeMs });
  }

  /** Trusts nothing that was known before, and frees what files without content and stale leases block of a set. */
  heal(set: RangeSet): void {
    this.#ledger.lookAgain();
    this.#removeDamaged();
    for (const [name, lease] of this.#ledger.allLeases()) {
      const address = Address.tryParse(name);
      if (address === undefined || !set.leases(address)) continue;
      const why = this.whyStale(name, lease);
      if (why !== undefined) this.reclaim(name, { lease, why });
    }
  }

  /** Takes a stale lease away, and tells so. */
  reclaim(name: string, { lease, why }: { lease: Lease; why: string }): void {
    const { id, ifname = "" } = lease;
    this.#options.warn(`Taking back ${name} from "${id}"/"${ifname}" in "${this.#dir}": ${why}`);
    this.remove(name, lease);
  }

  /** The address leased last from a range set; undefined when nobody knows (any more). */
  lastReserved(rangeSet: number): Address | undefined {
    try {
      const text = readBeginning(this.#lastReservedPath(rangeSet), 256);
      return text === undefined ? undefined : Address.tryParse(text.trim());
    } catch (error) {
      this.#options.warn(`Cannot read the last reserved address, starting from the first: ${reason(error)}`);
      return undefined;
    }
  }

  /** Remembers where the next search begins. A failure costs the order of addresses and nothing else, so it is only told. */
  setLastReserved(rangeSet: number, address: Address): void {
    const path = this.#lastReservedPath(rangeSet);
    try {
      this.#options.steps.run(`printf %s ${address} > ${shellWord(path)}`, () => overwrite(path, address.toString()));
    } catch (error) {
      this.#options.warn(`Cannot remember the last reserved address: ${reason(error)}`);
    }
  }

  #lastReservedPath(rangeSet: number): string {
    return join(this.#dir, `last_reserved_ip.${rangeSet}`);
  }

  /** Says that all is done: the next call finds the store as this one knows it. Without it that call looks at every file. */
  seal(): void {
    this.#ledger.seal();
  }

  #ownOrigin(): Origin {
    this.#origin ??= originOf(this.#options.netns, this.#ledger.index?.boot);
    return this.#origin;
  }

  [Symbol.dispose](): void {
    this.#lock[Symbol.dispose]();
  }
}
