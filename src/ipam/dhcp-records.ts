import { closeSync, constants, lstatSync, openSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { readState } from "../support/bounded-file.ts";
import { makeDirectories } from "../support/directories.ts";
import { syncDirectory, writeDurably } from "../support/durable-file.ts";
import { sha512 } from "../support/sha512.ts";
import { isErrno } from "../sys/errno.ts";

// The DHCP daemon's leases on disk: a file per attachment, `<key>.json`, which the daemon alone writes. Beside it there may be
// `<key>.release`, by which somebody who did not reach the daemon says that the lease is to be given back.

/** Where the records are. */
export const dhcpDirectory = "/var/lib/cni/dhcp";

const RECORD = ".json";
const RELEASE = ".release";
const KEY_LETTERS = 32;
/** Nobody's lease has that much to say. */
const MAX_BYTES = 262_144;

export interface RecordOwner {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}

/** A file of a lease as it was found. */
export interface FoundRecord {
  readonly key: string;
  /** Undefined for a file that is not JSON. */
  readonly content: unknown;
  /** Whether the lease is to be given back. */
  readonly released: boolean;
}

/** What an attachment's files are called by. */
export function recordKey({ network, containerId, ifname }: RecordOwner): string {
  return sha512(`${network}\0${containerId}\0${ifname}`).slice(0, KEY_LETTERS);
}

/** Writes an attachment's lease down, so that it survives a power loss. @param content an object for JSON */
export function writeRecord(key: string, content: object): void {
  makeDirectories(dhcpDirectory, 0o700);
  writeDurably(join(dhcpDirectory, key + RECORD), Buffer.from(`${JSON.stringify(content, null, 2)}\n`), { mode: 0o600 });
}

/** Removes an attachment's lease and the request to give it back; none is fine. */
export function removeRecord(key: string): void {
  const before = [RECORD, RELEASE].filter((ending) => exists(key + ending));
  for (const ending of before) rmSync(join(dhcpDirectory, key + ending), { force: true });
  if (before.length > 0) syncDirectory(dhcpDirectory);
}

/** Path of the file that asks for a lease to be given back; undefined where there is no lease. */
export function releaseRequestPath(key: string): string | undefined {
  return exists(key + RECORD) ? join(dhcpDirectory, key + RELEASE) : undefined;
}

/** Leaves word for the daemon that the lease is to be given back. @param path releaseRequestPath's */
export function requestRelease(path: string): void {
  const { O_APPEND, O_CREAT, O_WRONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  try {
    closeSync(openSync(path, O_APPEND | O_CREAT | O_WRONLY | O_NOFOLLOW | O_NONBLOCK, 0o600));
  } catch (error) {
    if (!isErrno(error, "ELOOP")) throw error; // the name alone says it
  }
  syncDirectory(dhcpDirectory);
}

/** Whether somebody wants the lease given back. */
export function isReleaseRequested(key: string): boolean {
  return exists(key + RELEASE);
}

/** Every lease on disk. */
export function listRecords(): FoundRecord[] {
  const keys = names().flatMap((name) => (name.endsWith(RECORD) && !name.startsWith(".") ? [name.slice(0, -RECORD.length)] : []));
  return keys.sort().map((key) => ({ key, content: parse(join(dhcpDirectory, key + RECORD)), released: exists(key + RELEASE) }));
}

/** Whose lease a record is; undefined when it does not say. */
export function ownerOfRecord(content: unknown): RecordOwner | undefined {
  if (typeof content !== "object" || content === null || !("attachment" in content)) return undefined;
  const { attachment } = content;
  if (typeof attachment !== "object" || attachment === null) return undefined;
  const { network, containerId, ifname } = attachment as Partial<Record<keyof RecordOwner, unknown>>;
  if (typeof network !== "string" || typeof containerId !== "string" || typeof ifname !== "string") return undefined;
  return { network, containerId, ifname };
}

function parse(path: string): unknown {
  try {
    const { content } = readState(path);
    return content.length > MAX_BYTES ? undefined : JSON.parse(content.toString("utf8"));
  } catch (error) {
    if (isErrno(error, "EACCES", "EPERM", "EIO")) throw error;
    return undefined;
  }
}

function names(): string[] {
  try {
    return readdirSync(dhcpDirectory);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

function exists(name: string): boolean {
  return lstatSync(join(dhcpDirectory, name), { throwIfNoEntry: false }) !== undefined;
}
