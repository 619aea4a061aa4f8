import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { reason } from "../../../src/support/errors.ts";
import { cgroupHierarchies } from "./contained.ts";
import { missingRuntimes, type Runtime, runtimeDirectory, runtimePath } from "./packages.ts";

/**
 * Why a runtime cannot run containers on this machine, as the end of a title: ` (needs …)`; nothing when it can. Asked of the machine
 * in namespaces that go at once.
 * @param options.programs those of its packages that have to start
 */
export function runtimeNeeds(runtime: Runtime, { programs }: { programs: readonly string[] }): string {
  const absent = missingRuntimes(runtime, "busybox");
  const needed =
    absent.length > 0
      ? `${absent.join(" and ")} from Debian's mirror`
      : (cgroupsNeeded() ?? mountsNeeded() ?? programs.map((program) => programNeeded(runtime, program)).find((one) => one));
  return needed === undefined ? "" : ` (needs ${needed})`;
}

/** `1.6.20`. @throws Error when the program does not start */
export function versionOf(runtime: Runtime, program: string): string {
  const { stdout } = askVersion(runtime, program);
  const [version] = /\d+\.\d+\.\d+/.exec(stdout) ?? [];
  if (version === undefined) throw new Error(`${program} --version: ${stdout}`);
  return version;
}

function cgroupsNeeded(): string | undefined {
  const hierarchies = cgroupHierarchies();
  if (hierarchies.length === 0) return "cgroups";
  try {
    for (const hierarchy of hierarchies) {
      const probe = join(hierarchy, `podlink-probe-${process.pid}`);
      mkdirSync(probe);
      rmdirSync(probe);
    }
    return undefined;
  } catch (error) {
    return `cgroups that can be made: ${reason(error)}`;
  }
}

function mountsNeeded(): string | undefined {
  const layers = "lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work";
  const script = `mount -t tmpfs none /mnt && mkdir /mnt/upper /mnt/work && mount -t overlay -o ${layers} overlay /etc`;
  const argv = ["--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", script];
  const { status, stderr, error } = spawnSync("unshare", argv, { encoding: "utf8" });
  return status === 0 ? undefined : `overlay file systems in a mount namespace: ${(error?.message ?? stderr).trim()}`;
}

function programNeeded(runtime: Runtime, program: string): string | undefined {
  const { status, stderr, error } = askVersion(runtime, program);
  return status === 0 ? undefined : `what ${program} misses: ${(error?.message ?? stderr).trim()}`;
}

/** Libraries that this machine does not have are found as they are in a Contained one. */
function askVersion(runtime: Runtime, program: string) {
  const home = runtimeDirectory(runtime);
  const libraries = ["usr/lib", "lib"].flatMap((path) => {
    const directory = join(home, path);
    return existsSync(directory) ? readdirSync(directory).map((name) => join(directory, name)) : [];
  });
  const env = { PATH: runtimePath(runtime), LD_LIBRARY_PATH: libraries.join(":"), HOME: "/nonexistent" };
  return spawnSync(program, ["--version"], { env, encoding: "utf8" });
}
