import { lstatSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { makeDirectories } from "../support/directories.ts";
import { DirectoryEntries } from "../sys/directory-entries.ts";
import { isLeaseName, readLease } from "./lease-file.ts";
import { type LeaseIndex, NoIndexError } from "./lease-index.ts";
import { ownerKey } from "./lease-record.ts";
import { remove } from "./own-files.ts";

/** A write of an earlier version took its lease from here to its name, and so do writes without an index. */
export const NEW_LEASE = ".new";

/**
 * Brings an index in line with the lease directory, whose lock is held. What a killed call has left half done is behind us then: its
 * `.new` is swept away, and each lease file that is whole is known.
 * @param options.everything false where the index is as we left it: only files that came or went are looked at. Otherwise every file is
 *   read and every record compared with it.
 * @returns names of files that a crash left without content; they are not known
 */
export function syncIndex(index: LeaseIndex, options: { everything: boolean }): string[] {
  const { everything } = options;
  const damaged: string[] = [];
  if (everything && makeHome(index)) {
    for (const name of readdirSync(index.dir)) learn(index, name, damaged);
    index.begin();
    return damaged.sort();
  }
  const found = DirectoryEntries.read(index.dir);
  const before = DirectoryEntries.read(index.leases);
  const { mine: unknown, theirs: gone } = found.differences(before);
  for (const place of gone) {
    const name = before.name(place);
    const content = readLease(join(index.leases, name));
    if (content?.kind === "lease") index.forget(ownerKey(content), name);
    index.drop(name);
  }
  const known = new Map<string, string[]>();
  if (everything) {
    const others = new Set(unknown);
    for (const place of found) if (!others.has(place)) readAgain(index, found.name(place), { known, damaged });
    for (const [key, addresses] of known) correct(index, key, addresses);
    index.keepOnly(known);
  }
  for (const place of unknown) learn(index, found.name(place), damaged);
  if (everything) index.begin();
  return damaged.sort();
}

/** Reads a file that is known. */
function readAgain(index: LeaseIndex, name: string, into: { known: Map<string, string[]>; damaged: string[] }): void {
  const content = readLease(join(index.dir, name));
  if (content?.kind === "lease") {
    const key = ownerKey(content);
    into.known.set(key, [...(into.known.get(key) ?? []), name]);
    return;
  }
  index.drop(name);
  if (content?.kind === "damaged") into.damaged.push(name);
}

/** Makes an owner's record name these addresses and no others; where it did not, nothing else in it counts. */
function correct(index: LeaseIndex, key: string, addresses: readonly string[]): void {
  const recorded = index.record(key)?.addresses;
  if (recorded?.length === addresses.length && addresses.every((address) => recorded.includes(address))) return;
  for (const address of recorded ?? []) index.forget(key, address);
  for (const address of addresses) index.remember(key, address);
}

/** Looks at a file that is new. */
function learn(index: LeaseIndex, name: string, damaged: string[]): void {
  if (name === NEW_LEASE) remove(join(index.dir, name));
  if (!isLeaseName(name)) return;
  const content = readLease(join(index.dir, name));
  if (content?.kind === "damaged") damaged.push(name);
  if (content?.kind !== "lease") return;
  index.remember(ownerKey(content), name); // first: a lease that is known has a record
  index.keep(name);
}

/**
 * Makes the index's directories where they are missing; what else stands in their place goes, but is never followed.
 * @returns whether there was no index at all: nothing is known
 */
function makeHome(index: LeaseIndex): boolean {
  const parent = dirname(index.home);
  const place = dirname(parent);
  const device = lstatSync(place, { throwIfNoEntry: false })?.dev;
  if (device !== undefined && device !== lstatSync(index.dir).dev) {
    throw new NoIndexError(`"${place}" is on another file system`); // a file has all its names on one
  }
  let isNew = false;
  for (const path of [parent, index.home, index.leases]) {
    const isDirectory = lstatSync(path, { throwIfNoEntry: false })?.isDirectory();
    if (path === index.home) isNew = isDirectory !== true;
    if (isDirectory === false) {
      if (path === parent) throw new NoIndexError(`"${path}" is not a directory`);
      remove(path);
    }
    if (isDirectory !== true) makeDirectories(path, 0o700);
  }
  return isNew;
}
