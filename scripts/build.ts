// Makes what is shipped, `npm run build`:
//   dist/cni/                     to be unpacked into /opt/cni/bin as it is, for this machine's architecture; dist/cni-<other>/ for the other
//   dist/podlink-linux-<arch>.tgz of each architecture
// With --native only dist/cni/ is made.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { linkNames } from "../src/cli/bin-directory.ts";
import { plugins } from "../src/plugins/index.ts";
import { reason } from "../src/support/errors.ts";
import { FileLock } from "../src/sys/file-lock.ts";
import { type Architecture, architectures, isNative } from "./lib/architecture.ts";
import { baseNode } from "./lib/base-node.ts";
import { type Bundle, bundle } from "./lib/bundle.ts";
import { executable } from "./lib/executable.ts";
import { archive, binDirectory } from "./lib/package.ts";
import { cache, dist } from "./lib/paths.ts";
import { tryVersion } from "./lib/try-version.ts";

const nativeOnly = process.argv.includes("--native");

async function build(architecture: Architecture, { code, scripts, packages }: Bundle): Promise<void> {
  const base = await baseNode(architecture);
  const program = join(cache, "executable", architecture.name);
  await executable(program, { code, scripts, base, architecture });
  const directory = join(dist, isNative(architecture) ? "cni" : `cni-${architecture.name}`);
  const key = await binDirectory(directory, {
    program,
    architecture,
    base,
    packages,
    types: linkNames(Object.keys(plugins).sort()),
  });
  await tryVersion(directory, { architecture, key });
  if (!nativeOnly) await archive(directory, { architecture, key });
}

async function buildAll(): Promise<void> {
  const started = performance.now();
  mkdirSync(cache, { recursive: true });
  using _lock = FileLock.acquire(join(cache, "build.lock"), { timeoutMs: 600_000 });
  const main = await bundle();
  const wanted = architectures.filter((architecture) => !nativeOnly || isNative(architecture));
  await Promise.all(wanted.map((architecture) => build(architecture, main)));
  const size = (main.scripts["core-types.cjs"].length / 1024).toFixed(1);
  console.log(`Built in ${((performance.now() - started) / 1000).toFixed(1)} s, script of the core types ${size} KB`);
}

try {
  await buildAll();
} catch (error) {
  console.error(reason(error));
  process.exitCode = 1;
}
