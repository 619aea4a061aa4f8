import { basename } from "node:path";

// The executable's entry, and nothing else: it runs the script that answers the call. It and the entries of those scripts (core-types.ts,
// podlink-type.ts, all-types.ts, version-call.ts, cli/entry.ts) alone know of the process: everybody else is handed what they need of it.

/** The executable's own name is that of a plugin type too; a call by a runtime is known by its environment. */
const EXECUTABLE = "podlink";

/** The types that nodes call for every container have scripts without the others: what is not loaded takes no time. */
const scripts: Readonly<Record<string, string>> = {
  bridge: "core-types.cjs",
  "host-local": "core-types.cjs",
  loopback: "core-types.cjs",
  static: "core-types.cjs",
  podlink: "podlink-type.cjs",
};

function main(): void {
  const { argv0, env } = process;
  // Only argv0 keeps the name of the link by which a single executable was called
  const name = basename(argv0);
  const verb = env.CNI_COMMAND ?? "";
  const script = scripts[name];
  if (name === EXECUTABLE && verb === "") runScript("cli.cjs");
  else if (script === undefined) runScript("all-types.cjs");
  else runScript(verb === "VERSION" ? "version.cjs" : script);
}

/** Runs a script that is inside the executable (scripts/lib/bundle.ts). */
function runScript(filename: string): void {
  const { getAsset, getAssetKeys, getRawAsset } = process.getBuiltinModule("node:sea");
  const { Script } = process.getBuiltinModule("node:vm");
  const cache = `${filename}.cache`;
  const cachedData = getAssetKeys().includes(cache) ? { cachedData: Buffer.from(getRawAsset(cache)) } : {};
  const script = new Script(getAsset(filename, "utf8"), { filename, ...cachedData });
  script.runInThisContext()(process.getBuiltinModule, runScript);
}

main();
