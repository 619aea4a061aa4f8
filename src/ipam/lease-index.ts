import { linkSync, lstatSync, lutimesSync, renameSync, symlinkSync } from "node:fs";
import { DirectoryEntries } from "../sys/directory-entries.ts";
import { isErrno } from "../sys/errno.ts";
import { blockOf } from "./full-blocks.ts";
import { indexDirectory } from "./index-place.ts";
import { formatRecord, type LeaseRecord, type Origin, ownerKey, parseRecord } from "./lease-record.ts";
import { create, readLink, remove } from "./own-files.ts";

// What makes a call's cost independent of the number of leases: a directory of our own beside those of the networks, where the reference
// does not look. It may be lost, spoiled or behind at any time, and then it is made again from the lease files (index-sync.ts).
//
//   <id>,<ifname>      the owner's record (lease-record.ts): a symbolic link that leads nowhere
//   leases/<address>   a second name of the lease's file. While it is there, the file's inode is given to no other file, so that
//                      getdents(2), which lists names with inodes, tells whether a file of that name is still the one that we know.
//   !<address>         in the 256 addresses from there on nothing is free (full-blocks.ts)
//   .boot              version of all this and id of the boot
//
// How the index knows that nobody has changed the lease directory: when a call is done, it seals all three directories with one random
// modification time of September 2001. Whatever adds, removes or renames a file gives its directory the present time, at whatever
// resolution, so equal seals say that nothing was. (Merely equal times do not: a tick of the kernel's clock is long enough for two changes.)
// A lease file written over in place is the one thing that this does not see: what the index says somebody holds is always made sure of in
// the file.

/** Seconds since 1970 that a seal lies behind, and how many it may. */
const SEALED = { from: 1_000_000_000n, span: 1_000_000n };

/** Raise it when the layout changes: an index of another version is made again. */
const VERSION = 1;

const LEASES = "leases";
const BOOT = ".boot";
const NEW = ".new";

/** No index can be kept here. */
export class NoIndexError extends Error {}

/** How much of an index is true. */
export type IndexState =
  /** All of it, and it knows all leases. */
  | "exact"
  /** It is as a call of ours left it, but files in the lease directory have come or gone since. */
  | "behind"
  /** Nothing is known of it. */
  | "unknown";

/** The index of one network's leases. Whoever changes it holds the network's lock. */
export class LeaseIndex {
  /** The lease directory. */
  readonly dir: string;
  /** The index's own. */
  readonly home: string;
  /** Second names of the leases. */
  readonly leases: string;
  /** shortBootId's. */
  readonly boot: string;

  constructor(dir: string, boot: string) {
    this.dir = dir;
    this.home = indexDirectory(dir);
    this.leases = `${this.home}/${LEASES}`;
    this.boot = boot;
  }

  state(): IndexState {
    const options = { bigint: true, throwIfNoEntry: false } as const;
    const home = lstatSync(this.home, options);
    const leases = lstatSync(this.leases, options);
    const dir = lstatSync(this.dir, options);
    if (home === undefined || leases === undefined || dir === undefined || home.dev !== dir.dev) return "unknown";
    if (home.mtimeNs !== leases.mtimeNs || !isSeal(home.mtimeNs)) return "unknown";
    // set in this order; later if somebody else has set the time, a restored backup say
    if (leases.ctimeNs > home.ctimeNs || !home.isDirectory() || !leases.isDirectory()) return "unknown";
    if (readLink(`${this.home}/${BOOT}`) !== this.#bootText) return "unknown";
    return dir.mtimeNs === home.mtimeNs && dir.ctimeNs <= home.ctimeNs ? "exact" : "behind";
  }

  /** Says that the index is true and knows all leases, until somebody changes the lease directory or the index. */
  seal(): void {
    const time = Number(SEALED.from) + Math.floor(Math.random() * Number(SEALED.span)) + 0.000_5 + Math.random() * 0.999;
    for (const path of [this.dir, this.leases, this.home]) lutimesSync(path, time, time);
  }

  /** Notes the boot in an index that was made or looked through anew. */
  begin(): void {
    this.#replaceLink(this.#bootText, BOOT);
  }

  get #bootText(): string {
    return `${VERSION} ${this.boot}`;
  }

  /** What is known of an owner; its addresses may be somebody else's by now. */
  record(key: string): LeaseRecord | undefined {
    const path = `${this.home}/${key}`;
    // most owners that are asked for have none, and an error to catch costs ten times as much
    if (!lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) return undefined;
    const text = readLink(path);
    return text === undefined ? undefined : parseRecord(text);
  }

  /** When and for what a lease was made, as far as it is the very file that the owner's record is of. */
  originOf(address: string, owner: { readonly id: string; readonly ifname?: string }): Origin | undefined {
    const record = this.record(ownerKey(owner));
    return record?.addresses.includes(address) && this.isKnown(address) ? record.origin : undefined;
  }

  /** Adds an address to those of an owner. The latest origin counts for all: it makes fewer leases stale than an earlier one. */
  remember(key: string, address: string, origin: Origin = { boot: this.boot }): void {
    try {
      symlinkSync(formatRecord({ addresses: [address], origin }), `${this.home}/${key}`); // nearly every owner has one address
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      const known = this.record(key)?.addresses ?? [];
      this.#replaceLink(formatRecord({ addresses: [...known.filter((other) => other !== address), address], origin }), key);
    }
  }

  /** Takes an address away from those of an owner. */
  forget(key: string, address: string): void {
    const record = this.record(key);
    if (record === undefined) return;
    const addresses = record.addresses.filter((other) => other !== address);
    if (addresses.length === 0) remove(`${this.home}/${key}`);
    else if (addresses.length < record.addresses.length) this.#replaceLink(formatRecord({ ...record, addresses }), key);
  }

  /** Makes a new lease's file, whole, under its second name first. @returns false when the address is taken */
  lease(address: string, text: string): boolean {
    const path = `${this.leases}/${address}`;
    const name = `${this.dir}/${address}`;
    try {
      create(path, text);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) {
        remove(path);
        throw error;
      }
      if (lstatSync(name, { throwIfNoEntry: false }) !== undefined) return false;
      remove(path); // of a lease that somebody has removed this moment
      create(path, text);
    }
    try {
      linkSync(path, name);
      return true;
    } catch (error) {
      remove(path);
      if (isErrno(error, "EEXIST")) return false;
      throw error;
    }
  }

  /** Gives a file of the lease directory its second name. */
  keep(address: string): void {
    linkSync(`${this.dir}/${address}`, `${this.leases}/${address}`);
  }

  /** Takes the second name away of a lease that is gone: its address is free. */
  drop(address: string): void {
    const block = blockOf(address);
    if (block !== undefined && this.isFull(block)) remove(`${this.home}/${block}`);
    remove(`${this.leases}/${address}`);
  }

  /** Whether a block was found full, and no address of it has been released since. */
  isFull(block: string): boolean {
    return lstatSync(`${this.home}/${block}`, { throwIfNoEntry: false }) !== undefined;
  }

  markFull(blocks: readonly string[]): void {
    for (const block of blocks) this.#replaceLink("full", block);
  }

  /** Whether the file of this address is the one that is known. */
  isKnown(address: string): boolean {
    const [known, found] = [this.leases, this.dir].map((dir) => lstatSync(`${dir}/${address}`, { throwIfNoEntry: false }));
    return known !== undefined && known.ino === found?.ino && known.dev === found.dev;
  }

  /** Takes everything away but the records of these keys. */
  keepOnly(names: { has(key: string): boolean }): void {
    const entries = DirectoryEntries.read(this.home);
    for (const place of entries) {
      const name = entries.name(place);
      if (name !== LEASES && name !== BOOT && !names.has(name)) remove(`${this.home}/${name}`);
    }
  }

  /** Keys of all owners that have a record. */
  keys(): string[] {
    const keys: string[] = [];
    const entries = DirectoryEntries.read(this.home);
    for (const place of entries) {
      const name = entries.isSymbolicLink(place) ? entries.name(place) : "";
      if (name.includes(",")) keys.push(name);
    }
    return keys;
  }

  #replaceLink(text: string, name: string): void {
    const path = `${this.home}/${name}`;
    try {
      symlinkSync(text, path);
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error;
      const fresh = `${this.home}/${NEW}`;
      remove(fresh);
      symlinkSync(text, fresh);
      try {
        renameSync(fresh, path);
      } catch (second) {
        if (!isErrno(second, "EISDIR", "ENOTEMPTY", "EEXIST")) throw second;
        remove(path); // a directory, which is none of ours
        renameSync(fresh, path);
      }
    }
  }
}

/** One that a file system has cut to milliseconds is none: there are too few of them. */
function isSeal(time: bigint): boolean {
  const seconds = time / 1_000_000_000n - SEALED.from;
  return seconds >= 0n && seconds < SEALED.span && time % 1_000_000n !== 0n;
}
