import { closeSync, constants, openSync } from "node:fs";
import { now, pause } from "../support/clock.ts";
import { isErrno } from "./errno.ts";
import { libc } from "./libc.ts";

// linux/fcntl.h
const LOCK_EX = 2;
const LOCK_NB = 4;

/** The lock was not free in time. */
export class LockTimeoutError extends Error {}

/** An exclusive flock(2) on a file, released with `using`. The kernel drops it when its holder dies. */
export class FileLock implements Disposable {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Opens (or creates) `path`, which a symbolic link must not be, and takes its lock, trying again with growing pauses of 0.2 to 20 ms: flock has no deadline of its own.
   * @throws LockTimeoutError when somebody else holds it for all of `timeoutMs`
   */
  static acquire(path: string, options: { timeoutMs: number; mode?: number }): FileLock {
    const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
    const fd = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, options.mode ?? 0o600);
    return FileLock.#take(fd, { name: path, timeoutMs: options.timeoutMs });
  }

  /**
   * As `acquire`, of something that is there already, of whatever kind; nothing is created at the path.
   * @param options.name for the error
   * @throws LockTimeoutError as `acquire`
   */
  static acquireExisting(path: string, options: { name: string; timeoutMs: number }): FileLock {
    return FileLock.#take(openSync(path, "r"), options);
  }

  static #take(fd: number, { name, timeoutMs }: { name: string; timeoutMs: number }): FileLock {
    try {
      const deadline = now() + timeoutMs;
      for (let pauseMs = 0.2; !tryLock(fd); pauseMs = Math.min(pauseMs * 1.5, 20)) {
        if (now() >= deadline) {
          throw new LockTimeoutError(`Cannot lock "${name}": still held by another process after ${timeoutMs} ms`);
        }
        pause(pauseMs);
      }
      return new FileLock(fd);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

function tryLock(fd: number): boolean {
  try {
    libc("flock", fd, LOCK_EX | LOCK_NB);
    return true;
  } catch (error) {
    if (isErrno(error, "EAGAIN", "EINTR")) return false;
    throw error;
  }
}
