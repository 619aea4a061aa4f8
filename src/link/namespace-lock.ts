import { FileLock } from "../sys/file-lock.ts";
import type { NetworkNamespace } from "./namespace.ts";

/** Work under the lock takes milliseconds. */
const TIMEOUT_MS = 10_000;

/**
 * Locks a container's namespace against others who look for something free in it (a table, say) and take it. It is the lock of the
 * reference's type `sbr`, too: flock(2) on the namespace's own file, by whatever path it was opened.
 * @throws LockTimeoutError
 */
export function lockNamespace({ fd, path }: Pick<NetworkNamespace, "fd" | "path">): FileLock {
  return FileLock.acquireExisting(`/proc/thread-self/fd/${fd}`, { name: path, timeoutMs: TIMEOUT_MS });
}

/** The same lock of the namespace this thread stands in. @throws LockTimeoutError */
export function lockOwnNamespace(timeoutMs: number): FileLock {
  return FileLock.acquireExisting("/proc/thread-self/ns/net", { name: "the namespace's own", timeoutMs });
}
