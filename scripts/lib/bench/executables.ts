import { join } from "node:path";
import { type Architecture, architectures, isNative } from "../architecture.ts";
import { baseNode } from "../base-node.ts";
import { type Bundle, bundle, scriptBanner } from "../bundle.ts";
import { executable } from "../executable.ts";
import { cache } from "../paths.ts";
import { loadProbe } from "./probe.ts";
import { ended, start } from "./spawn.ts";

/** How the executable is asked for its version: what every runtime asks of every plugin. */
export const versionCall = { env: { CNI_COMMAND: "VERSION" }, input: '{"cniVersion":"1.1.0"}' } as const;

/** A single executable of this machine's Node, made as podlink's is, but of other scripts; answers its path. */
export async function otherExecutable(
  name: string,
  code: string,
  scripts: Bundle["scripts"] | undefined = undefined,
): Promise<string> {
  const architecture = architectures.find(isNative) as Architecture;
  const path = join(cache, "executable/bench", name);
  await executable(path, { code, scripts: { ...scripts }, base: await baseNode(architecture), architecture });
  return path;
}

/** What any program of this Node takes: it prints a constant as long as the answer to VERSION, and ends as podlink ends. */
export async function floor(bin: string): Promise<string> {
  const constant = JSON.stringify(ended([start({ program: join(bin, "bridge"), ...versionCall })]).outcome.stdout);
  return otherExecutable("floor", `"use strict";require("node:fs").writeSync(1,${constant});process.reallyExit(0);`);
}

/** The executable with a probe in front of the script that answers for type bridge (probe.ts). */
export async function withProbe(name: string, probe: string): Promise<string> {
  const { code, scripts } = await bundle();
  const core = scripts["core-types.cjs"].replace(scriptBanner, () => scriptBanner + probe);
  return otherExecutable(name, code, { ...scripts, "core-types.cjs": core });
}

/** The load probe where there is no script of ours: what the probe and the loader themselves take. */
export function loadFloor(): Promise<string> {
  return otherExecutable("load-floor", `${loadProbe}require("node:path").basename();`);
}
