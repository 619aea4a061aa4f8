import { lstatSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { bootClock } from "../sys/boot-clock.ts";
import { isErrno } from "../sys/errno.ts";
import { netnsIdentity } from "../sys/netns.ts";
import { markName, type NamespaceMark, type Origin } from "./lease-record.ts";

/** How far apart two readings of clocks may be and still mean the same. */
const CLOCK_MS = 2000;

/**
 * Proves of leases that no container can hold them any more; what cannot be proven counts as held.
 * A lease is stale when its record is of an earlier boot, when the namespace in its record is gone, or when nobody noted where it comes
 * from and its file is older than this boot.
 */
export class StaleProof {
  readonly #own: Origin;
  readonly #seesNamespaces: boolean;
  #live: LiveNamespaces | undefined;
  #bootMs: number | undefined;

  /**
   * @param own of the present call
   * @param options.seesNamespaces whether namespaces that cannot be found are gone. A call that does not see its own is not the one to
   *   judge, so without this it depends on `own`.
   */
  constructor(own: Origin, options: { seesNamespaces?: boolean } = {}) {
    this.#own = own;
    this.#seesNamespaces = options.seesNamespaces ?? own.namespace !== undefined;
  }

  /** Why a lease is stale; undefined when it may be held. @param mtimeMs of its file */
  why({ origin, mtimeMs }: { origin: Origin | undefined; mtimeMs: number }): string | undefined {
    if (origin !== undefined && origin.boot !== this.#own.boot) return "it is of an earlier boot";
    if (origin?.namespace !== undefined) {
      return this.#seesNamespaces && this.#isGone(origin.namespace) ? "its network namespace is gone" : undefined;
    }
    return mtimeMs < this.#bootTime() - CLOCK_MS ? "its file is older than this boot" : undefined;
  }

  /**
   * The kernel gives a namespace's inode to another one as soon as it is gone. So of a namespace that is there by that number it matters
   * by which path.
   */
  #isGone({ identity, name }: NamespaceMark): boolean {
    const byProcess = name.startsWith("/proc/");
    if (byProcess && netnsIdentity(name) === identity) return false;
    this.#live ??= new LiveNamespaces();
    const inode = Number(identity.slice(identity.indexOf(":") + 1));
    const mounted = this.#live.mounts.get(inode) ?? [];
    if (mounted.includes(name)) return false;
    if (identity === this.#own.namespace?.identity) return true; // it has become that of the present call, by another path
    if (mounted.length > 0) return !byProcess; // who names namespaces by mounts gives each one a mount of its own
    return this.#live.isComplete && !this.#live.processes.has(inode);
  }

  /** When this boot began, by the clock that file times are of, or earlier: somebody may have set that clock since. */
  #bootTime(): number {
    this.#bootMs ??= Math.min(Date.now() - bootClock(), lstatSync("/dev/null", { throwIfNoEntry: false })?.mtimeMs ?? 0);
    return this.#bootMs;
  }
}

/** The network namespaces that are held by a mount or by a process, by their inodes, as this process can see it. */
class LiveNamespaces {
  /** Mounts as markName has them. */
  readonly mounts = new Map<number, string[]>();
  readonly processes = new Set<number>();
  /** Whether every process let us look. */
  isComplete = true;

  constructor() {
    // proc_pid_mountinfo(5): "<id> <parent> 0:4 net:[4026532345] /run/netns/blue rw … - nsfs nsfs rw"
    for (const [, inode, point = ""] of readFileSync("/proc/self/mountinfo", "utf8").matchAll(
      /^\d+ \d+ \S+ net:\[(\d+)\] (\S+) /gm,
    )) {
      this.mounts.set(Number(inode), [...(this.mounts.get(Number(inode)) ?? []), markName(withoutEscapes(point))]);
    }
    // the first process is in no container's namespace, and may be out of sight for a node that is a container
    for (const pid of readdirSync("/proc")) if (/^\d+$/.test(pid) && pid !== "1") this.#look(pid);
  }

  #look(pid: string): void {
    try {
      const [, inode] = /^net:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/ns/net`)) ?? [];
      this.processes.add(Number(inode));
    } catch (error) {
      if (!isErrno(error, "ENOENT", "ESRCH")) this.isComplete = false;
    }
  }
}

/** proc_pid_mountinfo(5) writes blanks and backslashes in octal. */
function withoutEscapes(point: string): string {
  return point.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
