import { readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isObject, type JsonObject, parseObject } from "../cni/json.ts";
import { writeDurably } from "../support/durable-file.ts";
import { shellWord } from "../support/shell-word.ts";
import type { Steps } from "../support/steps.ts";
import { isErrno } from "../sys/errno.ts";
import { companionsName, exists } from "./bin-directory.ts";

const NAME = "installed.json";

/** What `podlink install` put somewhere, so that `podlink uninstall` takes nothing else away. */
export interface Manifest {
  /** podlink's. */
  readonly version: string;
  /** File names below podlink.lib. */
  readonly companions: readonly string[];
  /** Plugin types. */
  readonly links: readonly string[];
  readonly conflists: readonly { readonly path: string; readonly content: string }[];
}

/** @returns undefined without a manifest, or with one that cannot be read */
export function readManifest(binDirectory: string): Manifest | undefined {
  let raw: JsonObject;
  try {
    raw = parseObject(readFileSync(manifestPath(binDirectory)), "manifest");
  } catch (error) {
    if (isErrno(error, "EACCES", "EPERM", "EIO")) throw error;
    return undefined;
  }
  const conflists = Array.isArray(raw.conflists) ? raw.conflists.filter(isObject) : [];
  return {
    version: String(raw.version),
    companions: names(raw.companions),
    links: names(raw.links),
    conflists: conflists.map(({ path, content }) => ({ path: String(path), content: String(content) })),
  };
}

export function writeManifest(binDirectory: string, options: { manifest: Manifest; steps: Steps }): void {
  const path = manifestPath(binDirectory);
  const content = `${JSON.stringify(options.manifest, null, 4)}\n`;
  if (readText(path) === content) return;
  options.steps.run(teeCommand(path, content), () => writeDurably(path, new TextEncoder().encode(content), { mode: 0o644 }));
}

/** How a shell writes a file of whole lines. */
export function teeCommand(path: string, content: string): string {
  return `tee ${shellWord(path)} > /dev/null <<'END'\n${content}END`;
}

function manifestPath(binDirectory: string): string {
  return join(binDirectory, companionsName, NAME);
}

/** Names of the companions beside an executable, without the manifest. */
export function companionsIn(directory: string): string[] {
  const companions = join(directory, companionsName);
  if (!exists(companions)) return [];
  return readdirSync(companions)
    .filter((name) => name !== NAME && !name.startsWith("."))
    .sort();
}

/** Removes companions of these names and the manifest; the directory stays where somebody else's file is in it. */
export function removeCompanions(binDirectory: string, options: { names: readonly string[]; steps: Steps }): void {
  const companions = join(binDirectory, companionsName);
  if (!exists(companions)) return;
  for (const path of [...options.names.map((name) => join(companions, name)), manifestPath(binDirectory)]) {
    options.steps.run(`rm -f ${shellWord(path)}`, () => rmSync(path, { force: true }));
  }
  if (readdirSync(companions).length === 0) options.steps.run(`rmdir ${shellWord(companions)}`, () => rmdirSync(companions));
}

/** The file's text, or undefined where there is none. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

/** File names only: a manifest somebody changed leads nowhere else. */
function names(value: unknown): string[] {
  if (!Array.isArray(value)) return [];
  return value.filter((name) => typeof name === "string" && name !== "" && name !== "." && name !== ".." && !name.includes("/"));
}
