import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Apt, openApt } from "../../../scripts/lib/apt.ts";
import { cache } from "../../../scripts/lib/paths.ts";
import { run } from "../../../scripts/lib/run.ts";
import { reason } from "../../../src/support/errors.ts";
import { missingRuntimes, type Runtime, runtimeDirectory, runtimePackages, runtimes } from "./packages.ts";

/**
 * vitest's global setup of the tests with container runtimes: gets each into the cache, where nothing of it is looked at again.
 * Without Debian's mirror they stay away, this says why, and the tests are skipped.
 */
export async function setup(): Promise<void> {
  const missing = missingRuntimes(...runtimes);
  if (missing.length === 0) return;
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, "runtimes-"));
  try {
    const suites = missing.flatMap((runtime) => runtimePackages[runtime].map((name) => name.replace(/.*\//, "")));
    const apt = await openApt(work, { binary: [...new Set(suites)] });
    for (const runtime of missing) await get(runtime, apt);
  } catch (error) {
    console.warn(`Cannot ask Debian's mirror for container runtimes: ${reason(error)}`);
  } finally {
    rmSync(work, { recursive: true });
  }
}

async function get(runtime: Runtime, apt: Apt): Promise<void> {
  const directory = mkdtempSync(join(apt.directory, "unpacked-"));
  try {
    const files = await apt.download("download", ...runtimePackages[runtime]);
    for (const file of files) await run(["dpkg-deb", "--extract", file, directory]);
    const home = runtimeDirectory(runtime);
    mkdirSync(dirname(home), { recursive: true });
    // Another run may have been quicker
    if (!existsSync(home)) renameSync(directory, home);
  } catch (error) {
    console.warn(`Cannot get ${runtime}: ${reason(error)}`);
  }
}
