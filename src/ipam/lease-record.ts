import { shortBootId } from "../sys/boot-clock.ts";
import { netnsIdentity } from "../sys/netns.ts";

// What the index knows of an owner beyond the lease files, in the text of one symbolic link that leads nowhere:
//   <address>[,<address>…] <boot> [<device>:<inode> <name>]
// of the boot and of the network namespace at the time of the ADD. A link, because symlink(2) makes it whole in one call, and with less
// than 60 bytes file systems keep it in the inode.

const BOOT_DIGITS = 8; // shortBootId

/** A network namespace as it was once; device and inode are given to another one when it is gone. */
export interface NamespaceMark {
  /** `<device>:<inode>` */
  readonly identity: string;
  /** The path within /proc by which it was given, or `@` and a hash of the last part of any other path. */
  readonly name: string;
}

/** When and for what a lease was made. */
export interface Origin {
  /** The first BOOT_DIGITS of the boot's id. */
  readonly boot: string;
  /** Absent where it was never known: the lease is somebody else's, or the path led to no namespace. */
  readonly namespace?: NamespaceMark;
}

export interface LeaseRecord {
  readonly addresses: readonly string[];
  readonly origin: Origin;
}

export function formatRecord({ addresses, origin }: LeaseRecord): string {
  const { boot, namespace } = origin;
  return `${addresses.join(",")} ${boot}${namespace === undefined ? "" : ` ${namespace.identity} ${namespace.name}`}`;
}

/** Undefined for a text that is no record. Not by a regular expression: to compile one takes longer than all the rest. */
export function parseRecord(text: string): LeaseRecord | undefined {
  const [list = "", boot = "", identity, name] = text.split(" ");
  if (boot.length !== BOOT_DIGITS || (identity === undefined) !== (name === undefined)) return undefined;
  const origin = identity === undefined || name === undefined ? { boot } : { boot, namespace: { identity, name } };
  const addresses = list.split(",");
  return addresses.every(isFileName) ? { addresses, origin } : undefined;
}

/** What is not leads out of the directory. */
function isFileName(text: string): boolean {
  return text !== "" && !text.startsWith(".") && !text.includes("/");
}

/** Where a lease for the namespace at this path comes from. @param path absent or not that of a namespace: only the boot is known */
export function originOf(path: string | undefined, boot = shortBootId()): Origin {
  const identity = path === undefined ? undefined : netnsIdentity(path);
  return path === undefined || identity === undefined ? { boot } : { boot, namespace: { identity, name: markName(path) } };
}

/** What `path` is remembered by. */
export function markName(path: string): string {
  // a path within /proc goes with its process, and is short
  if (/^\/proc\/\S{1,40}$/.test(path)) return path;
  let hash = 0x811c9dc5; // FNV-1a, 32 bits
  for (const byte of Buffer.from(path.slice(path.lastIndexOf("/") + 1))) hash = Math.imul(hash ^ byte, 0x01000193);
  return `@${(hash >>> 0).toString(16)}`;
}

/**
 * The name of an owner's record, from which the owner can be told where it is not too long for a file's name.
 * @param ifname absent for leases of early writers, which know the id alone
 */
export function ownerKey({ id, ifname = "" }: { readonly id: string; readonly ifname?: string }): string {
  // an id is of letters, digits, "_", "." and "-", and starts with one of the first two; an ifname in somebody else's file is anything
  const key = `${id},${ifname.includes("/") ? `=${Buffer.from(ifname).toString("hex")}` : ifname}`;
  return key.length <= 80 || Buffer.byteLength(key) <= 240 ? key : `${id.slice(0, 180)},,${longHash(key)}`;
}

/** Two long keys of one hash would share a record, which is no harm: what a record says is made sure of in the lease's file. */
function longHash(text: string): string {
  let [a, b] = [0x811c9dc5, 0x1000193];
  for (let i = 0; i < text.length; i++) {
    a = Math.imul(a ^ text.charCodeAt(i), 0x01000193);
    b = Math.imul(b ^ text.charCodeAt(i), 0x5bd1e995) ^ (b >>> 15);
  }
  return `${(a >>> 0).toString(16)}${(b >>> 0).toString(16)}`;
}
