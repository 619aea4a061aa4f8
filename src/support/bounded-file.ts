import { closeSync, constants, fstatSync, openSync, readFileSync, readSync, statSync } from "node:fs";

/** More than any state of podlink's has, and an end to what a file gone wild can fill our memory with. */
const LONGEST_STATE = 64 * 2 ** 20;

/**
 * Reads a file of state, when it is one: no symbolic link is followed, and no pipe or device is waited for.
 * @returns its bytes, and the milliseconds since 1970 at which it was written
 * @throws Error also for what is no regular file
 */
export function readState(path: string): { content: Buffer; mtimeMs: number } {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) throw new Error(`"${path}" is not a regular file`);
    if (stat.size > LONGEST_STATE) throw new Error(`"${path}" is longer than ${LONGEST_STATE} bytes`);
    return { content: readFileSync(fd), mtimeMs: stat.mtimeMs };
  } finally {
    closeSync(fd);
  }
}

/**
 * Reads a file that somebody else names or writes: only a regular one, so that no pipe or device is waited for, and only up to a size.
 * @param options.follow whether a symbolic link is followed; it is an error otherwise
 * @throws Error also for what is no regular file or longer than `maxBytes`
 */
export function readBounded(path: string, options: { maxBytes: number; follow: boolean }): string {
  const { maxBytes, follow } = options;
  // before it is opened: to open a device may do things
  if (follow && !statSync(path).isFile()) throw new Error(`"${path}" is not a regular file`);
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY | (follow ? 0 : constants.O_NOFOLLOW));
  try {
    if (!fstatSync(fd).isFile()) throw new Error(`"${path}" is not a regular file`);
    const buffer = Buffer.allocUnsafe(maxBytes + 1);
    let length = 0;
    for (;;) {
      const read = readSync(fd, buffer, length, buffer.length - length, null);
      length += read;
      if (length > maxBytes) throw new Error(`"${path}" is longer than ${maxBytes} bytes`);
      if (read === 0) return buffer.toString("utf8", 0, length);
    }
  } finally {
    closeSync(fd);
  }
}
