import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { reason } from "../../../src/support/errors.ts";
import { type Apt, openApt, osRelease } from "../apt.ts";
import { cache } from "../paths.ts";
import { run } from "../run.ts";
import { digest, stamped } from "../stamped.ts";
import { kernelPackages } from "./packages.ts";

/** `stable`: of this machine's own release of Debian, which its qemu goes with (elsewhere of Debian's stable); `newest`: there is. */
export type KernelChoice = "stable" | "newest";

/** A stock Debian kernel, unpacked. */
export interface Kernel {
  readonly choice: KernelChoice;
  /** As `uname -r` says it: `6.1.0-56-cloud-amd64`. */
  readonly release: string;
  /** What qemu boots. */
  readonly image: string;
  /** The directory with `lib/modules/<release>`, complete with what depmod makes. */
  readonly root: string;
}

const home = join(cache, "kernels");
const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Gets a kernel into the cache, at most once a day; when the mirror does not answer, what is there already will do.
 * @throws Error when there is none
 */
export async function getKernel(choice: KernelChoice): Promise<Kernel> {
  const directory = join(home, choice);
  const asked = join(home, `${choice}-asked`);
  if (!existsSync(directory) || !existsSync(asked) || Date.now() - statSync(asked).mtimeMs > DAY_MS) {
    mkdirSync(home, { recursive: true });
    const work = mkdtempSync(join(home, "apt-"));
    try {
      await fetch(directory, { work, suites: suites(choice) });
      rmSync(asked, { recursive: true, force: true });
      mkdirSync(asked);
    } catch (error) {
      if (!existsSync(directory)) throw error;
      console.log(`Taking the ${choice} kernel that is in the cache: ${reason(error)}`);
    } finally {
      rmSync(work, { recursive: true });
    }
  }
  return describe(directory, choice);
}

/** Tried in this order. The suites of backports are newer than those they are named after, sid than all of them. */
function suites(choice: KernelChoice): string[] {
  const own = osRelease("ID") === "debian" ? osRelease("VERSION_CODENAME") : undefined;
  if (choice === "stable") return [own ?? "stable"];
  return ["sid", "testing", "stable-backports", ...(own === undefined ? ["stable"] : [`${own}-backports`, own])];
}

async function fetch(directory: string, { work, suites }: { work: string; suites: readonly string[] }): Promise<void> {
  const { apt, packages } = await ask(work, suites);
  await stamped(directory, { key: digest(...packages, process.arch) }, async (path) => {
    mkdirSync(path);
    for (const file of await apt.download("download", ...packages)) await run(["dpkg-deb", "--extract", file, path]);
    // Since 6.12 Debian's packages have everything below /usr
    if (existsSync(join(path, "usr/lib/modules"))) renameSync(join(path, "usr/lib"), join(path, "lib"));
    rmSync(join(path, "usr"), { recursive: true, force: true });
    symlinkSync(".", join(path, "usr"));
    await run(["depmod", "--basedir", path, moduleDirectory(path)]);
  });
}

/** The packages of the first suite that the mirror has. */
async function ask(work: string, suites: readonly string[]): Promise<{ apt: Apt; packages: string[] }> {
  const failures: string[] = [];
  for (const suite of suites) {
    try {
      const apt = await openApt(join(work, suite), { binary: [suite] });
      return { apt, packages: await kernelPackages(apt) };
    } catch (error) {
      failures.push(`${suite}: ${/^.*?(E: .*)$/m.exec(reason(error))?.[1] ?? reason(error)}`);
    }
  }
  throw new Error(`Cannot get a kernel from Debian's mirror: ${failures.join("; ")}`);
}

function moduleDirectory(root: string): string {
  const [release] = readdirSync(join(root, "lib/modules"));
  if (release === undefined) throw new Error(`Cannot find modules in "${root}"`);
  return release;
}

function describe(root: string, choice: KernelChoice): Kernel {
  const release = moduleDirectory(root);
  const places = [join(root, "boot", `vmlinuz-${release}`), join(root, "lib/modules", release, "vmlinuz")];
  const image = places.find((path) => existsSync(path));
  if (image === undefined) throw new Error(`Cannot find the kernel: none of "${places.join('", "')}" is there`);
  return { choice, release, image, root };
}

/**
 * Files of the modules that make up `names`, in the order in which they can be loaded; of those built into the kernel there are none.
 */
export function moduleFiles({ root, release }: Kernel, names: readonly string[]): string[] {
  const directory = join(root, "lib/modules", release);
  const dependencies = new Map(
    readFileSync(join(directory, "modules.dep"), "utf8")
      .split("\n")
      .map((line) => line.split(/:? +|:$/).filter((path) => path !== ""))
      .map(([path = "", ...others]) => [path, others]),
  );
  const byName = new Map([...dependencies.keys()].map((path) => [moduleName(path), path]));
  // A module's line names all that it needs, the deepest last
  const paths = names.flatMap((name) => {
    const path = byName.get(name);
    return path === undefined ? [] : [...(dependencies.get(path) ?? [])].reverse().concat(path);
  });
  return [...new Set(paths)].map((path) => join(directory, path));
}

function moduleName(path: string): string {
  return path
    .replace(/^.*\//, "")
    .replace(/\.ko(\..*)?$/, "")
    .replaceAll("-", "_");
}
