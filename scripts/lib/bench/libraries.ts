import { build } from "esbuild";
import { root } from "../paths.ts";
import { otherExecutable } from "./executables.ts";
import type { Bench, Figure } from "./figure.ts";
import { alternate } from "./measure.ts";
import { ended, start } from "./spawn.ts";

// What the executable does without, loaded and used once; the netlink package's native part cannot be bundled and is left out.
const libraries = {
  "ipaddr.js, one prefix read": 'const ipaddr = require("ipaddr.js"); ipaddr.parseCIDR("10.1.2.3/24");',
  "netlink, loaded": 'require("netlink");',
};

/** The libraries that README.md says why we do without, beside a process that prints a constant. */
export async function librariesRow(bench: Bench): Promise<Figure[]> {
  const candidates: Record<string, () => { ms: number }> = { nothing: await candidate("no-library", "") };
  for (const [name, use] of Object.entries(libraries)) candidates[name] = await candidate(name.split(",")[0] ?? name, use);
  const { nothing, ...measured } = alternate(candidates, bench);
  const base = nothing?.ms;
  return Object.entries(measured).flatMap(([name, { ms }]): Figure[] => {
    if (ms === undefined || base === undefined) return [];
    const title = `the library left out: ${name}`;
    return [{ group: "Start", name: title, unit: "ms", ours: ms, others: { "without it": base }, ownMeasure: true }];
  });
}

async function candidate(name: string, use: string): Promise<() => { ms: number }> {
  const { outputFiles } = await build({
    stdin: { contents: `${use}\nrequire("node:fs").writeSync(1, "{}"); process.reallyExit(0);`, resolveDir: root },
    bundle: true,
    minify: true,
    platform: "node",
    format: "cjs",
    target: "node26",
    write: false,
    plugins: [
      {
        name: "without-native-part",
        setup(builder) {
          builder.onResolve({ filter: /^node-gyp-build$/ }, ({ path }) => ({ path, namespace: "stub" }));
          builder.onLoad({ filter: /.*/, namespace: "stub" }, () => ({
            contents: "module.exports = () => ({ NativeNetlink: class {} });",
          }));
        },
      },
    ],
  });
  const program = await otherExecutable(`library-${name}`, outputFiles[0]?.text ?? "");
  return () => ({ ms: ended([start({ program, env: {}, input: "" })]).outcome.ms });
}
