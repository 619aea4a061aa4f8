import { existsSync } from "node:fs";
import { join } from "node:path";
import { cache } from "../../scripts/lib/paths.ts";

/** Versions of containernetworking/plugins, with the suite of Debian that has them. */
export const pluginSuites = { "1.9.1": "sid", "1.1.1": "bookworm" } as const;

/** Versions of containernetworking/cni, whose cnitool is built from the source of that suite. */
export const cnitoolSuites = { "1.3.0": "sid", "1.1.2": "bookworm" } as const;

const home = join(cache, "reference");

/** A directory with the plugins, whether or not it could be had. */
export function pluginDirectory(version: keyof typeof pluginSuites): string {
  return join(home, `plugins-${version}`);
}

/** The program, whether or not it could be had. */
export function cnitoolProgram(version: keyof typeof cnitoolSuites): string {
  return join(home, `cnitool-${version}`);
}

/** What goes behind a test's name: what it lacks of these files, or nothing. fetch-reference.ts has said why. */
export function lacking(...paths: readonly string[]): string {
  const missing = paths.filter((path) => !existsSync(path)).map((path) => path.slice(home.length + 1));
  return missing.length === 0 ? "" : ` (needs ${missing.join(" and ")} from Debian's mirror)`;
}
