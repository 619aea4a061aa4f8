import { CniError, codes } from "../cni/error.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import { lockNamespace } from "../link/namespace-lock.ts";
import { LockTimeoutError } from "../sys/file-lock.ts";

/** Runs `work` with the container's namespace locked against others who share something out in it. @throws CniError 11 when it stays locked */
export function locked<T>(container: NetworkNamespace, work: () => T): T {
  using _lock = acquire(container);
  return work();
}

function acquire(container: NetworkNamespace): Disposable {
  try {
    return lockNamespace(container);
  } catch (error) {
    if (!(error instanceof LockTimeoutError)) throw error;
    throw new CniError(codes.tryAgainLater, error.message, {
      details: "another call works in the same container's namespace, and hangs",
      cause: error,
    });
  }
}
