import { join } from "node:path";
import { build } from "esbuild";
import { root } from "./paths.ts";

export interface Bundle {
  /** What a container runtime runs: one CommonJS script. */
  readonly code: string;
  /** The tool for people: an expression that is a function of `require`, kept apart so that a plugin call need not load it. */
  readonly cli: string;
  /** npm packages that are in either. */
  readonly packages: readonly string[];
}

/** Bundles the two entries and all they import. */
export async function bundle(): Promise<Bundle> {
  const [main, cli] = await Promise.all([
    bundleEntry("src/main.ts"),
    bundleEntry("src/cli/entry.ts", { banner: { js: "(function(require){" }, footer: { js: "})" } }),
  ]);
  return { code: main.code, cli: cli.code, packages: [...new Set([...main.packages, ...cli.packages])].sort() };
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
