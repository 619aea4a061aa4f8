import { existsSync } from "node:fs";
import { join } from "node:path";
import { reason } from "../../src/support/errors.ts";
import { run } from "./run.ts";

const program = join(import.meta.dirname, "warm/program.ts");

/** What namespaces of the build's own are made with. */
function inNamespaces(...argv: readonly string[]): [string, ...string[]] {
  const asRoot = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  return ["unshare", ...asRoot, "--net", "--mount", "--propagation", "private", ...argv];
}

/** Whether calls can be answered here: in the build of some images nobody may make namespaces. */
export async function canWarm(): Promise<boolean> {
  try {
    await run(inNamespaces("true"));
    return true;
  } catch (error) {
    console.warn(`No code cache, so each call starts some 7 ms later: ${reason(error)}`);
    return false;
  }
}

/**
 * Makes the code caches of the scripts in a directory (main.cjs, which picks one by a call's name, and those it picks from) by answering
 * calls with them, so that just those functions are in a cache that a call needs: a smaller one is sooner loaded.
 * @param flags V8's, the same as the scripts will run with: with others a cache is refused, which costs 7 ms and a line on stderr
 * @returns paths of the caches by the names of their scripts; none for a script that answers no call
 */
export async function warmCaches(
  directory: string,
  { flags, scripts }: { flags: readonly string[]; scripts: readonly string[] },
): Promise<ReadonlyMap<string, string>> {
  const node = [process.execPath, ...flags, "--disable-warning=ExperimentalWarning", program, directory];
  // the bench has scripts that tell something on descriptor 3, which would else be one of Node's
  await run(["sh", "-c", 'exec "$@" 3>/dev/null', "sh", ...inNamespaces(...node)]);
  const caches = scripts.map((name) => [name, join(directory, `${name}.cache`)] as const);
  return new Map(caches.filter(([, path]) => existsSync(path)));
}
