import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  rmSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { isErrno } from "../sys/errno.ts";

// What is done to files in directories where anybody may have put anything: no symbolic link is followed, no pipe waited for.
// Files are read and written by a descriptor: readFileSync and writeFileSync take three times as long the first time, which is the only one.

/** What a path leads to, the last part of it not followed. */
export function kindOf(path: string): "directory" | "link" | "other" | undefined {
  try {
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return undefined;
    return stat.isDirectory() ? "directory" : stat.isSymbolicLink() ? "link" : "other";
  } catch (error) {
    if (isErrno(error, "ENOTDIR")) return undefined; // a file stands where a directory above it should
    throw error;
  }
}

/** Makes a file; one that is there already is an error (EEXIST). */
export function create(path: string, text: string): void {
  const { O_WRONLY, O_CREAT, O_EXCL } = constants;
  const fd = openSync(path, O_WRONLY | O_CREAT | O_EXCL, 0o600);
  try {
    writeWhole(fd, text);
  } finally {
    closeSync(fd);
  }
}

/**
 * Writes a small file over, or makes it; never through a symbolic link or into a pipe.
 * Whoever is killed meanwhile leaves a mixture of both texts. To empty the file first would leave none, but file systems write one that was
 * emptied to the disk when it is closed (ext4's auto_da_alloc), which takes longer than all else that an ADD does to files.
 */
export function overwrite(path: string, text: string): void {
  const { O_WRONLY, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
  const fd = openSync(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o644);
  try {
    const length = writeWhole(fd, text);
    if (fstatSync(fd).size > length) ftruncateSync(fd, length);
  } finally {
    closeSync(fd);
  }
}

/** @returns its length in bytes */
function writeWhole(fd: number, text: string): number {
  const bytes = Buffer.from(text);
  for (let written = 0; written < bytes.length; ) written += writeSync(fd, bytes, written);
  return bytes.length;
}

/** The beginning of a small file, at most so many bytes; undefined where there is none. @throws also for what is no regular file */
export function readBeginning(path: string, maxBytes: number): string | undefined {
  const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW, O_NOCTTY } = constants;
  let fd: number;
  try {
    fd = openSync(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
  try {
    const buffer = Buffer.allocUnsafe(maxBytes);
    return buffer.toString("utf8", 0, readSync(fd, buffer, 0, maxBytes, 0));
  } finally {
    closeSync(fd);
  }
}

/** Removes a file; one that is gone is as good. */
export function unlink(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}

/** The text of a symbolic link; undefined where there is none, or something else. */
export function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (isErrno(error, "ENOENT", "EINVAL", "ENOTDIR", "ENAMETOOLONG")) return undefined;
    throw error;
  }
}

/** Removes whatever it is. */
export function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return;
    if (!isErrno(error, "EISDIR", "EPERM")) throw error;
    rmSync(path, { recursive: true, force: true });
  }
}
