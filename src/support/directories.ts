import { mkdirSync, statSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Makes a directory and those above it that are missing; one that is there already is fine.
 * Not `mkdirSync(…, { recursive: true })`: where the kernel says ENOENT although the parent is there, as in /proc, that tries for ever.
 * @param mode permission bits of every directory made
 */
export function makeDirectories(path: string, mode: number): void {
  if (make(path, mode)) return;
  makeDirectories(dirname(path), mode);
  if (!make(path, mode))
    throw new Error(`Cannot make directory "${path}": the kernel says that "${dirname(path)}" does not exist`);
}

/** @returns false when the directory above is missing */
function make(path: string, mode: number): boolean {
  try {
    mkdirSync(path, { mode });
    return true;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "EEXIST" && statSync(path).isDirectory()) return true;
    if (code === "ENOENT" && dirname(path) !== path) return false;
    throw error;
  }
}
