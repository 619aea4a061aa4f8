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

/** Longer than calls take that come in a burst. */
const LONGEST_TURN_MS = 2000;

/**
 * Waits until no other call changes the same things in a namespace, by the same lock, for as long as what is answered is not disposed of.
 * It spares them each other's way and nobody depends on it: who cannot have it goes on without.
 */
export function takeTurn(namespace: NetworkNamespace): Disposable | undefined {
  try {
    const options = { name: "a namespace", timeoutMs: LONGEST_TURN_MS };
    return namespace.inside(() => FileLock.acquireExisting("/proc/thread-self/ns/net", options));
  } catch {
    return undefined;
  }
}
