import { basename } from "node:path";
import { answerCall } from "./plugin-call.ts";
import { corePlugins } from "./plugins/core.ts";

// The executable's entry. It, all-types.ts and cli/entry.ts alone know of the process: everybody else is handed what they need of it.

/** The executable's own name is that of a plugin type too; a call by a runtime is known by its environment. */
const EXECUTABLE = "podlink";

function main(): void {
  const { argv0, env } = process;
  // Only argv0 keeps the name of the link by which a single executable was called
  const name = basename(argv0);
  if (Object.hasOwn(corePlugins, name)) answerCall(name, { env, plugins: corePlugins });
  const isTool = name === EXECUTABLE && (env.CNI_COMMAND ?? "") === "";
  runScript(isTool ? "cli.cjs" : "all-types.cjs");
}

/** Runs a script of its own inside the executable: what most calls need not load (scripts/lib/bundle.ts). */
function runScript(filename: string): void {
  const { getAsset, getAssetKeys, getRawAsset } = process.getBuiltinModule("node:sea");
  const { Script } = process.getBuiltinModule("node:vm");
  const cache = `${filename}.cache`;
  const cachedData = getAssetKeys().includes(cache) ? { cachedData: Buffer.from(getRawAsset(cache)) } : {};
  const script = new Script(getAsset(filename, "utf8"), { filename, ...cachedData });
  script.runInThisContext()(process.getBuiltinModule, runScript);
}

main();
