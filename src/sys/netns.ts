import { closeSync, openSync, statfsSync, statSync, writeSync } from "node:fs";
import { reason } from "../support/errors.ts";
import { isErrno } from "./errno.ts";
import { exitNow, libc } from "./libc.ts";

// linux/magic.h: a namespace lies on nsfs by whatever path it is reached, /proc/<pid>/ns and bind mounts included (Linux ≥ 3.19)
const NSFS_MAGIC = 0x6e736673;

const CLONE_NEWNET = 0x40000000; // linux/sched.h
const NS_GET_NSTYPE = 0xb703n; // linux/nsfs.h: what kind of namespace a file is

/** The namespace the calling thread stands in; `/proc/self` would be the process's first thread. */
const OWN = "/proc/thread-self/ns/net";

/** What the kernel says of a path that leads nowhere we could go. */
const NOT_THERE = ["ENOENT", "ENOTDIR", "EACCES", "ELOOP", "ENAMETOOLONG"];

/** The path does not lead to a network namespace (any more). */
export class NetnsGoneError extends Error {}

/** A function that is not asynchronous: what runs inside another namespace must be done when it returns. */
type Synchronous<T> = T extends PromiseLike<unknown> ? never : T;

/** An open network namespace; closed with `using`. */
export class Netns implements Disposable {
  readonly path: string;
  readonly fd: number;

  private constructor(path: string, fd: number) {
    this.path = path;
    this.fd = fd;
  }

  /** @throws NetnsGoneError when nothing is there or something that is not a namespace (the file a bind mount left behind, say) */
  static open(path: string): Netns {
    const netns = Netns.tryOpen(path);
    if (netns !== undefined) return netns;
    throw new NetnsGoneError(`Cannot open network namespace "${path}": it does not exist or is not a network namespace`);
  }

  /** The namespace, or undefined when it is gone: what DEL needs. */
  static tryOpen(path: string | undefined): Netns | undefined {
    if (path === undefined) return undefined;
    try {
      if (statfsSync(path).type !== NSFS_MAGIC) return undefined; // before it is opened: to open a device or a pipe may do things
      const netns = new Netns(path, openSync(path, "r"));
      if (libc("ioctl", netns.fd, NS_GET_NSTYPE, 0n) === CLONE_NEWNET) return netns;
      netns[Symbol.dispose]();
      return undefined;
    } catch (error) {
      if (isErrno(error, ...NOT_THERE)) return undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

/** Whether the path leads to a network namespace. */
export function isNetns(path: string): boolean {
  using netns = Netns.tryOpen(path);
  return netns !== undefined;
}

/** Device and inode of the namespace at a path, as `4:4026532345`; undefined when there is none. The kernel gives both to another one later. */
export function netnsIdentity(path: string): string | undefined {
  try {
    if (statfsSync(path).type !== NSFS_MAGIC) return undefined;
    const { dev, ino } = statSync(path);
    return `${dev}:${ino}`;
  } catch (error) {
    if (isErrno(error, ...NOT_THERE)) return undefined;
    throw error;
  }
}

/** Whether the path leads to the network namespace this process stands in. */
export function isOwnNetns(path: string): boolean {
  try {
    const own = statSync(OWN);
    const other = statSync(path);
    return own.dev === other.dev && own.ino === other.ino;
  } catch (error) {
    if (isErrno(error, ...NOT_THERE)) return false;
    throw error;
  }
}

/**
 * Runs `work` with this thread in `netns` and comes back. Only synchronous work: a promise would go on in the wrong place.
 * Sockets opened inside stay there. Should the way home fail, the process ends: nothing it did from then on could be trusted.
 */
export function withNetns<T>(netns: Netns, work: () => Synchronous<T>): T {
  const home = openSync(OWN, "r");
  try {
    libc("setns", netns.fd, CLONE_NEWNET);
    try {
      return work();
    } finally {
      try {
        libc("setns", home, CLONE_NEWNET);
      } catch (error) {
        writeSync(2, `Cannot return from network namespace "${netns.path}": ${reason(error)}\n`);
        exitNow(1);
      }
    }
  } finally {
    closeSync(home);
  }
}
