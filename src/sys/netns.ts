import { closeSync, fstatSync, openSync, statfsSync, statSync, writeSync } from "node:fs";
import { reason } from "../support/errors.ts";
import { isErrno } from "./errno.ts";
import { exitNow, libc } from "./libc.ts";

// linux/magic.h: a namespace file lies on nsfs, or on proc where it was opened through /proc/<pid>/ns or /proc/<pid>/fd
const NSFS_MAGIC = 0x6e736673;
const PROC_SUPER_MAGIC = 0x9fa0;

const CLONE_NEWNET = 0x40000000; // linux/sched.h

/** The namespace the calling thread stands in; `/proc/self` would be the process's first thread. */
const OWN = "/proc/thread-self/ns/net";

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
    if (!isNetns(path)) {
      throw new NetnsGoneError(`Cannot open network namespace "${path}": it does not exist or is not a network namespace`);
    }
    return new Netns(path, openSync(path, "r"));
  }

  /** The namespace, or undefined when it is gone: what DEL needs. */
  static tryOpen(path: string | undefined): Netns | undefined {
    return path !== undefined && isNetns(path) ? new Netns(path, openSync(path, "r")) : undefined;
  }

  /** Device and inode: what tells one namespace from another as long as it lives. */
  get identity(): string {
    const { dev, ino } = fstatSync(this.fd);
    return `${dev}:${ino}`;
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

/** Whether the path leads to a network namespace. */
export function isNetns(path: string): boolean {
  try {
    const { type } = statfsSync(path);
    return type === NSFS_MAGIC || (type === PROC_SUPER_MAGIC && statSync(path).isFile());
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "EACCES", "ELOOP")) return false;
    throw error;
  }
}

/** Whether the path leads to the network namespace this process stands in. */
export function isOwnNetns(path: string): boolean {
  if (!isNetns(path)) return false;
  const own = statSync(OWN);
  const other = statSync(path);
  return own.dev === other.dev && own.ino === other.ino;
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
