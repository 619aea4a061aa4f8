import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/**
 * Writes a file so that whoever looks, even after a power loss, sees either the old content or the new one: a temporary
 * file in the same directory (its name starts with a dot), fsync, rename, fsync of the directory.
 * @param options.mode permission bits of the new file
 * @param options.temporary path of the temporary file, for one that must be found again after a crash; what is there is removed
 */
export function writeDurably(path: string, content: Uint8Array, options: { mode: number; temporary?: string }): void {
  const temporary = options.temporary ?? temporaryName(path);
  if (options.temporary !== undefined) rmSync(temporary, { force: true }); // not written through: it might be a link to elsewhere
  const fd = openSync(temporary, "wx", options.mode);
  try {
    try {
      for (let written = 0; written < content.length; ) written += writeSync(fd, content, written);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
  syncDirectory(dirname(path));
}

/** Makes what was renamed into or removed from a directory survive a power loss. */
export function syncDirectory(directory: string): void {
  const fd = openSync(directory, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** A name beside `path` that nobody else uses, to be renamed to it. */
export function temporaryName(path: string): string {
  return join(dirname(path), `.${basename(path)}.podlink-${Math.random().toString(36).slice(2, 10)}`);
}
