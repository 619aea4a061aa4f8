import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { isErrno } from "../sys/errno.ts";

// One file per leased address, named by it: `<id>\r\n<ifname>`, no newline at the end; early writers wrote the id alone.

/** Who holds a lease. */
export interface Owner {
  readonly id: string;
  readonly ifname: string;
}

/** What a lease file says. */
export type Content =
  /** `ifname` is absent in files of early writers. */
  | { readonly kind: "lease"; readonly id: string; readonly ifname?: string }
  /** Empty or binary: what a crash or a power cut leaves of a file. It holds nothing. */
  | { readonly kind: "damaged" }
  /** Text that no CNI plugin writes, perhaps a person's note that the address is in use: it blocks the address and stays. */
  | { readonly kind: "foreign" };

export function formatLease(owner: Owner): string {
  return `${owner.id}\r\n${owner.ifname}`;
}

/** @param text of the whole file; white space around it means nothing */
export function parseLease(text: string): Content {
  const lines = text.trim().split(/\r?\n/);
  const [id = "", ifname] = lines;
  if (id === "" || hasBinary(text)) return { kind: "damaged" };
  if (lines.length > 2 || !/^[a-zA-Z0-9][\w.-]*$/.test(id)) return { kind: "foreign" };
  return ifname === undefined ? { kind: "lease", id } : { kind: "lease", id, ifname };
}

/** Who holds a lease, for people: `"4f1c…"/"eth0"`. */
export function ownerName(owner: { readonly id: string; readonly ifname?: string }): string {
  return owner.ifname === undefined ? `"${owner.id}"` : `"${owner.id}"/"${owner.ifname}"`;
}

/** Control characters other than the white space ones: file systems fill lost blocks with zeros. */
function hasBinary(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if ((code < 32 && (code < 9 || code > 13)) || code === 0xfffd) return true;
  }
  return false;
}

/** More than any lease: a container's id comes in an environment variable, and the kernel takes 128 KiB of one (MAX_ARG_STRLEN). */
const MAX_BYTES = 256 * 1024;

/** What opening or reading says of a file that is no regular one, or that cannot be read: it blocks its address, and no other. */
const NO_LEASE = ["ELOOP", "EISDIR", "ENXIO", "ENODEV", "EAGAIN", "EACCES", "EPERM", "EIO", "EINVAL", "ESPIPE"];

/**
 * Reads a lease file; undefined when there is none (any more). Symbolic links, which are not followed, directories, pipes, devices and
 * longer files are foreign. Never waits. @throws on other errors
 */
export function readLease(path: string): Content | undefined {
  // Not readFileSync: a store can hold thousands of files, and its fstat and allocation double the time of each.
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW | constants.O_NOCTTY);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    if (isErrno(error, ...NO_LEASE)) return { kind: "foreign" };
    throw error;
  }
  try {
    for (const size of [1024, MAX_BYTES]) {
      const buffer = Buffer.allocUnsafe(size);
      const length = readSync(fd, buffer, 0, size, 0);
      if (length === 0 && !fstatSync(fd).isFile()) return { kind: "foreign" }; // a pipe that nobody writes to
      if (length < size) return parseLease(buffer.toString("utf8", 0, length));
    }
    return { kind: "foreign" };
  } catch (error) {
    if (isErrno(error, ...NO_LEASE)) return { kind: "foreign" };
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** Whether a file's name can be an address: tells leases from `lock`, `last_reserved_ip.0` and hidden files without parsing. */
export function isLeaseName(name: string): boolean {
  return /^[0-9a-fA-F:][0-9a-fA-F:.]*[.:][0-9a-fA-F:.]*$/.test(name);
}
