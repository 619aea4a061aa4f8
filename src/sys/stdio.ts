import { readSync, writeSync } from "node:fs";
import { expectLongLoops } from "./compilers.ts";
import { isErrno } from "./errno.ts";
import { libc } from "./libc.ts";

// poll.h
const POLLIN = 1;
const POLLOUT = 4;

const CHUNK_BYTES = 65_536;

/** So long are the lists of attachments that a GC of thousands comes with. */
const MANY_CHUNKS = 4;

/** Reads a descriptor to its end. It may be non-blocking: stdin belongs to whoever started us. */
export function readAll(fd: number): Uint8Array {
  const chunks: Uint8Array[] = [];
  for (;;) {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    const length = retry(fd, POLLIN, () => readSync(fd, chunk, 0, chunk.length, null));
    if (length === 0) break;
    chunks.push(chunk.subarray(0, length));
    if (chunks.length === MANY_CHUNKS) expectLongLoops();
  }
  const [first = new Uint8Array()] = chunks;
  return chunks.length <= 1 ? first : Buffer.concat(chunks);
}

/** Writes all of `text`. @returns false when the reader is gone: the rest is nobody's then, and no error */
export function writeAll(fd: number, text: string): boolean {
  const bytes = Buffer.from(text);
  try {
    for (let written = 0; written < bytes.length; ) {
      written += retry(fd, POLLOUT, () => writeSync(fd, bytes, written));
    }
    return true;
  } catch (error) {
    if (!isErrno(error, "EPIPE", "EBADF")) throw error;
    return false;
  }
}

/** Runs `call`; while the descriptor is not ready, waits in poll(2) until it is. */
function retry(fd: number, events: number, call: () => number): number {
  for (;;) {
    try {
      return call();
    } catch (error) {
      if (isErrno(error, "EAGAIN")) waitFor(fd, events);
      else if (!isErrno(error, "EINTR")) throw error;
    }
  }
}

function waitFor(fd: number, events: number): void {
  const pollfd = new DataView(new ArrayBuffer(8)); // poll.h: int fd, short events, short revents
  pollfd.setInt32(0, fd, true);
  pollfd.setInt16(4, events, true);
  try {
    libc("poll", new Uint8Array(pollfd.buffer), 1n, -1);
  } catch (error) {
    if (!isErrno(error, "EINTR")) throw error;
  }
}
