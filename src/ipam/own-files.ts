import { closeSync, constants, lstatSync, openSync, readlinkSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { isErrno } from "../sys/errno.ts";

// What is done to files in directories where anybody may have put anything: no symbolic link is followed, no pipe waited for.

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

/** Writes a small file over, or makes it; never through a symbolic link or into a pipe. */
export function overwrite(path: string, text: string): void {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW, O_NONBLOCK } = constants;
  const fd = openSync(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK, 0o644);
  try {
    writeFileSync(fd, text);
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
