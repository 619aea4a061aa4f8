import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { root } from "../paths.ts";

/** Names of tests that need an option some kernels are built without have this in them: `needs()` of test/support/kernel-features.ts. */
export const needing = /\(needs (CONFIG_[^)]*)\)/;

/**
 * What of these tests scripts/test tries on another kernel, in the four minutes that it has for that: what the plugin types themselves
 * do there, in the newest version of the protocol. The rest, which calls the executable or the reference, is left to scripts/test-kernels.
 */
const usual = /^test\/kernel\/(?!explain).*\.test\.ts: (?!.*in version (?!1\.1\.0))/s;

/** Tests to run elsewhere: files by their paths in the repository, and which of their tests by full name; all without. */
export interface Selection {
  readonly files: readonly string[];
  readonly only?: RegExp;
}

/** Those of the tests, which this kernel made skip, that scripts/test runs on another; `<file>: <full name>` each. */
export function usualSelection(skipped: readonly string[]): Selection {
  const names = skipped.filter((name) => needing.test(name) && usual.test(name));
  const only = needingTheSame(names);
  const files = [...new Set(names.map((name) => name.replace(/: .*/s, "")))].sort();
  return { files, only: new RegExp(`^(?!.*in version (?!1\\.1\\.0)).*${only.source}`) };
}

/** All tests that need one of the options in `titles`. */
export function selectionOf(titles: readonly string[]): Selection {
  return { files: filesNeeding(), only: needingTheSame(titles) };
}

function needingTheSame(names: readonly string[]): RegExp {
  const options = new Set(names.flatMap((name) => needing.exec(name)?.[1]?.split(", ") ?? []));
  return options.size === 0 ? needing : new RegExp(`\\(needs (CONFIG_\\w+, )*(${[...options].sort().join("|")})\\b`);
}

/** Test files that ask kernel-features.ts, by themselves or through what they import. */
function filesNeeding(): string[] {
  const names = readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" }).map((name) => join("test", name));
  return names.filter((name) => name.endsWith(".test.ts") && reaches(join(root, name), new Set())).sort();
}

function reaches(file: string, seen: Set<string>): boolean {
  if (file.endsWith("/support/kernel-features.ts")) return true;
  if (seen.has(file) || !file.startsWith(join(root, "test/"))) return false;
  seen.add(file);
  const imports = [...readFileSync(file, "utf8").matchAll(/^(?:import|export|}) ?(?!type)[^;]*?from "(\.[^"]+)";/gms)];
  return imports.some(([, path = ""]) => reaches(resolve(file, "..", path), seen));
}
