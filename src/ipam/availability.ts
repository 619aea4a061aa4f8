import { accessSync, constants, lstatSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { Address } from "../ip/address.ts";
import { reason } from "../support/errors.ts";
import { shortBootId } from "../sys/boot-clock.ts";
import { isErrno } from "../sys/errno.ts";
import { isLeaseName, readLease } from "./lease-file.ts";
import { LeaseIndex } from "./lease-index.ts";
import type { RangeSet } from "./range-set.ts";
import { StaleProof } from "./stale.ts";

/**
 * Why no lease can be written into `dir`; undefined when one can. A missing directory is judged by the nearest one above it, in which
 * it would be made. Only asks: nothing is created.
 */
export function whyNotWritable(dir: string): string | undefined {
  try {
    let path = dir;
    while (!exists(path) && dirname(path) !== path) path = dirname(path);
    if (!statSync(path).isDirectory()) return `"${path}" is not a directory`;
    accessSync(path, constants.W_OK | constants.X_OK);
    return undefined;
  } catch (error) {
    return reason(error);
  }
}

function exists(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    if (isErrno(error, "ENOTDIR")) return false;
    throw error;
  }
}

/**
 * The sets that have no free address, and none that an ADD would take back. Names are counted first, which settles nearly every call
 * without parsing one; only where there are enough of them to fill a set are they looked at one by one.
 * @param dir the leases of the network; it need not exist
 */
export function findFull(dir: string, sets: readonly RangeSet[]): RangeSet[] {
  const names = leaseNames(dir);
  return sets.filter((set) => BigInt(names.length) >= set.capacity && countLeases(dir, names, { set }) >= set.capacity);
}

/** Counts up to the set's capacity or the first stale one: then an ADD finds an address. */
function countLeases(dir: string, names: readonly string[], { set }: { set: RangeSet }): bigint {
  const boot = shortBootId();
  const index = new LeaseIndex(dir, boot);
  const proof = new StaleProof({ boot }, { seesNamespaces: true });
  let count = 0n;
  for (const name of names) {
    const address = Address.tryParse(name);
    if (address === undefined || !set.leases(address)) continue;
    const content = readLease(join(dir, name));
    if (content === undefined || content.kind === "damaged") continue;
    const mtimeMs = lstatSync(join(dir, name), { throwIfNoEntry: false })?.mtimeMs;
    if (mtimeMs === undefined) continue;
    if (content.kind === "lease" && proof.why({ origin: index.originOf(name, content), mtimeMs }) !== undefined) return 0n;
    count++;
  }
  return count;
}

function leaseNames(dir: string): string[] {
  try {
    return readdirSync(dir).filter(isLeaseName);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
