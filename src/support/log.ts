import { closeSync, constants, fstatSync, openSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { makeDirectories } from "./directories.ts";

export interface LogFile {
  readonly path: string;
  /** Size from which on the file is put aside; 10 MB unless set. */
  readonly maxBytes?: number;
  /** How many files are kept aside, `path.1` being the newest; 3 unless set. */
  readonly keep?: number;
}

/**
 * Appends one line. A log that cannot be written is nobody's failure: nothing is thrown, nothing printed.
 * The line is written by one call on a descriptor opened for appending, so lines of parallel processes do not mix.
 */
export function appendLine(line: string, log: LogFile): void {
  try {
    const fd = openForAppend(log.path);
    try {
      writeSync(fd, `${line}\n`);
      const { size, ino } = fstatSync(fd);
      if (size >= (log.maxBytes ?? 10_000_000)) rotate(log, ino);
    } finally {
      closeSync(fd);
    }
  } catch {
    // a full or read-only disk must not keep a pod from its network
  }
}

function openForAppend(path: string): number {
  // O_NOFOLLOW, O_NONBLOCK: neither a link nor a pipe put in the log's place leads or stops a process of root's
  const flags = constants.O_APPEND | constants.O_CREAT | constants.O_WRONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  try {
    return openSync(path, flags, 0o600);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    makeDirectories(dirname(path), 0o755);
    return openSync(path, flags, 0o600);
  }
}

/** @param ino of the file that grew too large: another process may have put it aside already */
function rotate({ path, keep = 3 }: LogFile, ino: number): void {
  if (statSync(path).ino !== ino) return;
  for (let index = keep - 1; index >= 1; index--) {
    try {
      renameSync(`${path}.${index}`, `${path}.${index + 1}`);
    } catch {
      // there are not that many yet
    }
  }
  if (keep > 0) renameSync(path, `${path}.1`);
  else rmSync(path);
}
