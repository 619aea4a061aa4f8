import { join } from "node:path";
import { during } from "../support/errors.ts";
import { shellWord } from "../support/shell-word.ts";
import type { Steps } from "../support/steps.ts";
import { FileLock, LockTimeoutError } from "../sys/file-lock.ts";
import { lockHolder } from "./lock-holder.ts";

/**
 * Takes the lock of a lease directory. A call that has waited for it in vain does not wait for it again: what is done after a failed
 * ADD, which has no lease then, would only double the time until the runtime has its answer.
 * @throws LockTimeoutError that names the holder where it can
 */
export function lockStore(dir: string, { steps, timeoutMs }: { steps: Steps; timeoutMs: number }): FileLock {
  const path = join(dir, "lock");
  const command = `flock ${shellWord(path)} true`;
  const waited = steps.list.some((step) => step.command === command && step.error !== undefined);
  return steps.run(command, () => acquire(path, waited ? 0 : timeoutMs));
}

function acquire(path: string, timeoutMs: number): FileLock {
  try {
    return during(`lock "${path}"`, () => FileLock.acquire(path, { timeoutMs }));
  } catch (error) {
    if (!(error instanceof Error && error.cause instanceof LockTimeoutError)) throw error;
    const holder = lockHolder(path) ?? "another process";
    throw new LockTimeoutError(`Cannot lock "${path}": held by ${holder} for all of ${timeoutMs} ms`, { cause: error });
  }
}
