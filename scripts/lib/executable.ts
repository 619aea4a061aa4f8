import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Architecture, isNative } from "./architecture.ts";
import type { BaseNode } from "./base-node.ts";
import { cache } from "./paths.ts";
import { run } from "./run.ts";
import { digest, stamped } from "./stamped.ts";

// V8's search for a hash seed costs 2 ms at each start. A process that lives 40 ms gains nothing from the machine code that Sparkplug and Maglev
// make of its functions: making it costs an ADD 10 ms. The first garbage collection, 3 ms, comes when the young generation is full: 16 MB
// are enough for a call.
const v8Flags = ["--no-rehash-snapshot", "--no-sparkplug", "--no-maglev", "--min-semi-space-size=16"];

// A code cache holds only what was compiled when it was made; with --no-lazy that is every function, which saves 6 ms of an ADD. Without a
// code cache the same flag would compile all of them at each start.
// The cache must be made with the same V8 flags as the run has, or it is refused, which costs 7 ms and a line on stderr.
const cachedFlags = [...v8Flags, "--no-lazy"];

const seaConfig = {
  mainFormat: "commonjs",
  disableExperimentalSEAWarning: true,
  // Leaves the caller's NODE_OPTIONS alone
  execArgvExtension: "none",
};

// node:ffi's warning costs 4 ms, and a broken OPENSSL_CONF of the caller would end the process
const nodeFlags = ["--disable-warning=ExperimentalWarning", "--openssl-config=/dev/null"];

// The second place is for a chroot without /proc, where the loader cannot tell $ORIGIN
const rpath = "$ORIGIN/podlink.lib:/opt/cni/bin/podlink.lib";

// What main.ts finds beside a script: its code cache, made as the build makes that of the first one
const cacheScript = `
const { readFileSync, writeFileSync } = require("node:fs");
const file = process.argv[1];
const filename = require("node:path").basename(file);
const script = new (require("node:vm").Script)(readFileSync(file, "utf8"), { filename });
writeFileSync(file + ".cache", script.createCachedData());`;

/**
 * Makes a single executable of a script (and those it runs when they are needed) and a base Node at `path`.
 * The order is the only one that gives a file the dynamic loader takes: strip (base-node.ts), build, patchelf.
 * @returns whether there was anything to do
 */
export function executable(
  path: string,
  {
    code,
    scripts = {},
    base,
    architecture,
  }: { code: string; scripts?: Readonly<Record<string, string>>; base: BaseNode; architecture: Architecture },
): Promise<boolean> {
  const useCodeCache = isNative(architecture);
  const flags = useCodeCache ? cachedFlags : v8Flags;
  const config = { ...seaConfig, useCodeCache, execArgv: [...flags, ...nodeFlags] };
  return stamped(
    path,
    { key: digest(code, JSON.stringify(scripts), base.identity, JSON.stringify(config), rpath) },
    async (output) => {
      const work = mkdtempSync(join(cache, "sea-"));
      try {
        const main = join(work, "main.cjs");
        const configFile = join(work, "sea.json");
        writeFileSync(main, code);
        const assets: Record<string, string> = {};
        for (const [name, script] of Object.entries(scripts)) {
          const file = join(work, name);
          writeFileSync(file, script);
          assets[name] = file;
          if (!useCodeCache) continue;
          await run([process.execPath, ...flags, "-e", cacheScript, file]);
          assets[`${name}.cache`] = `${file}.cache`;
        }
        writeFileSync(configFile, JSON.stringify({ ...config, main, assets, output, executable: base.program }));
        await run([process.execPath, ...flags, "--build-sea", configFile]);
        await run(["patchelf", "--set-rpath", rpath, output]);
      } finally {
        rmSync(work, { recursive: true });
      }
    },
  );
}
