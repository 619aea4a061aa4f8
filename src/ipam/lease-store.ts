import { closeSync, linkSync, openSync, readFileSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Address } from "../ip/address.ts";
import { makeDirectories } from "../support/directories.ts";
import { during, reason } from "../support/errors.ts";
import { shellWord } from "../support/shell-word.ts";
import type { Steps } from "../support/steps.ts";
import { isErrno } from "../sys/errno.ts";
import { FileLock, LockTimeoutError } from "../sys/file-lock.ts";
import { type Inventory, readInventory } from "./inventory.ts";
import { formatLease, type Owner } from "./lease-file.ts";
import { lockHolder } from "./lock-holder.ts";

// The directory of one network, in the format of the reference's host-local, so that both can work on it in turns:
//   <address>            lease-file.ts; mode 0600
//   last_reserved_ip.<i> where the next search in range set i begins, as text
//   lock                 empty; flock(2) on it guards everything else
//   .new                 ours: a lease before it has its name. Both implementations take it for no address.

/** Where the reference keeps its leases: a directory per network. */
export const defaultDataDirectory = "/var/lib/cni/networks";

/** A write takes its lease from here to its name by link(2), so that a killed call leaves the whole lease or none. */
const NEW = ".new";

export interface StoreOptions {
  /** Records each change. */
  readonly steps: Steps;
  readonly warn: (message: string) => void;
  /** How long to wait for another process's lock. */
  readonly lockTimeoutMs: number;
}

/** The leases of one network while we hold their lock. Taken with `using`. */
export class LeaseStore implements Disposable {
  readonly #dir: string;
  readonly #options: StoreOptions;
  readonly #lock: FileLock;

  private constructor(dir: string, options: StoreOptions) {
    this.#dir = dir;
    this.#options = options;
    this.#lock = options.steps.run(`flock ${shellWord(join(dir, "lock"))} true`, () => lock(dir, options.lockTimeoutMs));
  }

  /** Makes the directory where there is none, and locks it. @throws LockTimeoutError that names the holder where it can */
  static create(dir: string, options: StoreOptions): LeaseStore {
    if (!isDirectory(dir)) {
      options.steps.run(`mkdir -p ${shellWord(dir)}`, () => during(`make directory "${dir}"`, () => makeDirectories(dir, 0o755)));
    }
    return new LeaseStore(dir, options);
  }

  /** Locks an existing directory; undefined when there is none, and so no lease. @throws LockTimeoutError as `create` */
  static open(dir: string, options: StoreOptions): LeaseStore | undefined {
    return isDirectory(dir) ? new LeaseStore(dir, options) : undefined;
  }

  /** Reads every lease file. */
  inventory(): Inventory {
    return readInventory(this.#dir);
  }

  /**
   * Leases an address: its file is there whole or not at all, however the process ends.
   * There is no fsync: after a power cut the file may be empty, an empty file counts as free, and no container has survived that cut.
   * @returns false when the address is taken
   */
  put(address: Address, owner: Owner): boolean {
    const path = join(this.#dir, address.toString());
    const content = `printf '%s\\r\\n%s' ${shellWord(owner.id)} ${shellWord(owner.ifname)}`;
    return during(`write lease "${path}"`, () => {
      try {
        this.#options.steps.run(`(umask 077; set -C; ${content} > ${shellWord(path)})`, () => this.#link(owner, path));
        return true;
      } catch (error) {
        if (isErrno(error, "EEXIST")) return false;
        throw error;
      }
    });
  }

  #link(owner: Owner, path: string): void {
    const fresh = join(this.#dir, NEW);
    writeNew(fresh, formatLease(owner));
    try {
      linkSync(fresh, path);
    } finally {
      try {
        unlink(fresh);
      } catch {
        // the lease stands; the next write removes what is left here
      }
    }
  }

  /** @param name of a lease file, as in the inventory; a file that is gone is as good as removed */
  remove(name: string): void {
    const path = join(this.#dir, name);
    this.#options.steps.run(`rm -f ${shellWord(path)}`, () => during(`remove lease "${path}"`, () => unlink(path)));
  }

  /** Removes a file that a crash left without content, and tells so. */
  removeDamaged(name: string): void {
    this.#options.warn(
      `Lease file "${join(this.#dir, name)}" is empty or damaged, as a crash leaves it: the address counts as free`,
    );
    this.remove(name);
  }

  /** The address leased last from a range set; undefined when nobody knows (any more). */
  lastReserved(rangeSet: number): Address | undefined {
    try {
      return Address.tryParse(readFileSync(this.#lastReservedPath(rangeSet), "utf8").trim());
    } catch (error) {
      if (isErrno(error, "ENOENT")) return undefined;
      this.#options.warn(`Cannot read the last reserved address, starting from the first: ${reason(error)}`);
      return undefined;
    }
  }

  /** Remembers where the next search begins. A failure costs the order of addresses and nothing else, so it is only told. */
  setLastReserved(rangeSet: number, address: Address): void {
    const path = this.#lastReservedPath(rangeSet);
    try {
      this.#options.steps.run(`printf %s ${address} > ${shellWord(path)}`, () =>
        writeFileSync(path, address.toString(), { mode: 0o644 }),
      );
    } catch (error) {
      this.#options.warn(`Cannot remember the last reserved address: ${reason(error)}`);
    }
  }

  #lastReservedPath(rangeSet: number): string {
    return join(this.#dir, `last_reserved_ip.${rangeSet}`);
  }

  [Symbol.dispose](): void {
    this.#lock[Symbol.dispose]();
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  } catch (error) {
    if (isErrno(error, "ENOTDIR")) return false; // a file stands where a directory above it should
    throw error;
  }
}

function writeNew(path: string, text: string): void {
  const fd = openNew(path);
  try {
    writeFileSync(fd, text);
  } catch (error) {
    unlink(path);
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** A file that a killed call left is removed, never truncated: by its other name it may be that call's lease. */
function openNew(path: string): number {
  try {
    return openSync(path, "wx", 0o600);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    unlink(path);
    return openSync(path, "wx", 0o600);
  }
}

function unlink(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}

function lock(dir: string, timeoutMs: number): FileLock {
  const path = join(dir, "lock");
  try {
    return during(`lock "${path}"`, () => FileLock.acquire(path, { timeoutMs }));
  } catch (error) {
    if (!(error instanceof Error && error.cause instanceof LockTimeoutError)) throw error;
    const holder = lockHolder(path) ?? "another process";
    throw new LockTimeoutError(`Cannot lock "${path}": held by ${holder} for all of ${timeoutMs} ms`, { cause: error });
  }
}
