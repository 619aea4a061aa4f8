import { join } from "node:path";
import { build } from "esbuild";
import { root } from "./paths.ts";

export interface Bundle {
  /** What the executable starts with, which answers the types of src/plugins/core.ts: one CommonJS script. */
  readonly code: string;
  /** Scripts by file name that it runs when they are needed: expressions that are functions of `require` and main.ts's `runScript`. */
  readonly scripts: Readonly<Record<string, string>>;
  /** npm packages that are in any of them. */
  readonly packages: readonly string[];
}

/** Bundles the three entries and all they import. */
export async function bundle(): Promise<Bundle> {
  const wrapping = { banner: { js: "(function(require,runScript){" }, footer: { js: "})" } };
  const [main, all, cli] = await Promise.all([
    bundleEntry("src/main.ts"),
    bundleEntry("src/all-types.ts", wrapping),
    bundleEntry("src/cli/entry.ts", wrapping),
  ]);
  const packages = [...new Set([main, all, cli].flatMap((entry) => entry.packages))].sort();
  return { code: main.code, scripts: { "all-types.cjs": all.code, "cli.cjs": cli.code }, packages };
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
