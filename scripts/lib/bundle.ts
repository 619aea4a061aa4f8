import { join } from "node:path";
import { build } from "esbuild";
import { root } from "./paths.ts";

export interface Bundle {
  /** What the executable starts with: one CommonJS script. */
  readonly code: string;
  /** The scripts by file name of which it runs one: expressions that are functions of `require` and main.ts's `runScript`. */
  readonly scripts: Readonly<Record<ScriptName, string>>;
  /** npm packages that are in any of them. */
  readonly packages: readonly string[];
}

/** The scripts inside the executable, by the name that main.ts has for them. */
const entries = {
  "core-types.cjs": "src/core-types.ts",
  "podlink-type.cjs": "src/podlink-type.ts",
  "all-types.cjs": "src/all-types.ts",
  "version.cjs": "src/version-call.ts",
  "cli.cjs": "src/cli/entry.ts",
} as const;

export type ScriptName = keyof typeof entries;

/** What each of the scripts starts with. */
export const scriptBanner = "(function(require,runScript){";

/** Bundles every entry with all it imports. */
export async function bundle(): Promise<Bundle> {
  const wrapping = { banner: { js: scriptBanner }, footer: { js: "})" } };
  const names = Object.keys(entries) as ScriptName[];
  const [main, ...scripts] = await Promise.all([
    bundleEntry("src/main.ts"),
    ...names.map((name) => bundleEntry(entries[name], wrapping)),
  ]);
  const packages = [...new Set(scripts.flatMap((script) => script.packages))].sort();
  const byName = Object.fromEntries(names.map((name, at) => [name, scripts[at]?.code ?? ""])) as Bundle["scripts"];
  return { code: main.code, scripts: byName, packages };
}

/** CommonJS, because an ES module would start 8 ms later. */
async function bundleEntry(entry: string, wrapping: { banner?: { js: string }; footer?: { js: string } } = {}) {
  const { outputFiles, metafile } = await build({
    entryPoints: [join(root, entry)],
    absWorkingDir: root,
    bundle: true,
    minify: true,
    platform: "node",
    format: "cjs",
    target: "node26",
    legalComments: "none",
    metafile: true,
    write: false,
    logLevel: "silent",
    ...wrapping,
  });
  const code = outputFiles[0]?.text ?? "";
  const packages = Object.keys(metafile.inputs).flatMap(
    (path) => /(?:^|\/)node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? [],
  );
  return { code, packages };
}
