import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { cache, root } from "./paths.ts";

/** SHA-256 over parts of any kind; a change of one changes it. */
export function digest(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(`${part.length}:`).update(part);
  return hash.digest("hex");
}

/**
 * Makes a file or directory unless it was already made from the same `key`, and puts it in place by rename, so that nobody sees half of it.
 * @param options.key tells all that the content depends on
 * @param make is handed the path to write to
 * @returns whether there was anything to do
 */
export async function stamped(path: string, { key }: { key: string }, make: (path: string) => Promise<void>): Promise<boolean> {
  const stamp = join(cache, "stamps", relative(root, path).replaceAll("/", "_"));
  if (existsSync(path) && existsSync(stamp) && readFileSync(stamp, "utf8") === key) return false;
  const fresh = `${path}.new`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(dirname(path), { recursive: true });
  await make(fresh);
  const old = `${path}.old`;
  rmSync(old, { recursive: true, force: true });
  if (existsSync(path)) renameSync(path, old);
  renameSync(fresh, path);
  rmSync(old, { recursive: true, force: true });
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, key);
  return true;
}
