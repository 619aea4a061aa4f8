import { build } from "esbuild";
import { root } from "../paths.ts";
import { type Bench, call, type Line, otherExecutable } from "./bench.ts";
import { alternate, format } from "./measure.ts";

// What the executable does without, loaded and used once; the netlink package's native part cannot be bundled and is left out.
const libraries = {
  "ipaddr.js, one prefix read": 'const ipaddr = require("ipaddr.js"); ipaddr.parseCIDR("10.1.2.3/24");',
  "netlink, loaded": 'require("netlink");',
};

/** The libraries that README.md says why we do without, as the time they add to a process that prints a constant. */
export async function librariesRow({ rounds }: Bench): Promise<Line[]> {
  const candidates: Record<string, () => number> = { nothing: await candidate("no-library", "") };
  for (const [name, use] of Object.entries(libraries)) candidates[name] = await candidate(name.split(",")[0] ?? name, use);
  const measured = alternate(candidates, { rounds });
  const base = measured.nothing?.median ?? Number.NaN;
  return Object.keys(libraries).map((name) => {
    const summary = measured[name];
    const text = summary === undefined ? "" : `+${(summary.median - base).toFixed(2)} ms: ${format(summary)}`;
    return { text: `${name.padEnd(29)} ${text}`, within: true };
  });
}

async function candidate(name: string, use: string): Promise<() => number> {
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
  const path = await otherExecutable(`library-${name}`, outputFiles[0]?.text ?? "");
  return () => call(path, { env: {}, input: "" }).ms;
}
