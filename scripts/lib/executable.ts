import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Architecture, isNative } from "./architecture.ts";
import type { BaseNode } from "./base-node.ts";
import { canWarm, warmCaches } from "./code-cache.ts";
import { adoptNodeCaches } from "./node-caches.ts";
import { cache } from "./paths.ts";
import { run } from "./run.ts";
import { digest, stamped } from "./stamped.ts";

// V8's search for a hash seed costs 2 ms at each start. A process that lives 40 ms gains nothing from the machine code that Sparkplug, Maglev
// and Turbofan make of its functions: making it costs an ADD 10 ms. The first garbage collection, 3 ms, comes when the young generation is
// full: 16 MB are enough for a call. Threads that would help with both cost 2 ms and have nothing to do. Patterns are interpreted as well, and
// functions keep from their first call on what they have seen, not from the eighth: 2 ms of an ADD.
const flags = [
  "--no-rehash-snapshot",
  "--no-sparkplug",
  "--no-maglev",
  "--no-turbofan",
  "--single-threaded",
  "--regexp-interpret-all",
  "--no-lazy-feedback-allocation",
  "--min-semi-space-size=16",
];

const seaConfig = {
  mainFormat: "commonjs",
  disableExperimentalSEAWarning: true,
  // Leaves the caller's NODE_OPTIONS alone
  execArgvExtension: "none",
};

const nodeFlags = [
  "--disable-warning=ExperimentalWarning", // node:ffi's costs 4 ms
  "--openssl-config=/dev/null", // a broken OPENSSL_CONF of the caller would end the process
  "--v8-pool-size=0",
  "--disable-sigusr1", // a debugger would be let in by a thread that waits for the signal
];

// The second place is for a chroot without /proc, where the loader cannot tell $ORIGIN
const rpath = "$ORIGIN/podlink.lib:/opt/cni/bin/podlink.lib";

/**
 * Makes a single executable of a script (and those it runs when they are needed) and a base Node at `path`.
 * The order is the only one that gives a file the dynamic loader takes: strip (base-node.ts), build, patchelf. What comes after moves nothing.
 * @returns whether there was anything to do
 */
export async function executable(
  path: string,
  {
    code,
    scripts = {},
    base,
    architecture,
  }: { code: string; scripts?: Readonly<Record<string, string>>; base: BaseNode; architecture: Architecture },
): Promise<boolean> {
  const native = isNative(architecture); // what only a Node that runs here can make
  const warms = native && Object.keys(scripts).length > 0 && (await canWarm());
  const config = { ...seaConfig, useCodeCache: native, execArgv: [...flags, ...nodeFlags] };
  return stamped(
    path,
    { key: digest(code, JSON.stringify(scripts), base.identity, JSON.stringify({ ...config, warms, adopts: native }), rpath) },
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
        }
        if (warms) {
          const caches = await warmCaches(work, { flags, scripts: Object.keys(scripts) });
          for (const [name, path] of caches) assets[`${name}.cache`] = path; // where main.ts looks for it
        }
        writeFileSync(configFile, JSON.stringify({ ...config, main, assets, output, executable: base.program }));
        await run([process.execPath, ...flags, "--build-sea", configFile]);
        await run(["patchelf", "--set-rpath", rpath, output]);
        if (native) await adoptNodeCaches(output, flags);
      } finally {
        rmSync(work, { recursive: true });
      }
    },
  );
}
