import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { hideMachineState, output } from "../node.ts";
import { type Runtime, runtimeDirectory, runtimePath } from "./packages.ts";

/** Every name below belongs to this process alone. */
const own = `podlink-test-${process.pid}`;

/** Where this machine's cgroups are; nothing when it has none. */
export function cgroupHierarchies(): string[] {
  const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
  return mounts
    .map((line) => line.split(" "))
    .flatMap(([, path = "", type = ""]) => (["cgroup", "cgroup2"].includes(type) ? [path] : []));
}

/**
 * A part of this machine that a runtime may do with as it likes: its processes see each other alone and end with it, its mounts are
 * nobody else's, /etc, /opt, /run and /var/lib are copies that go with it, its cgroups have one parent that is removed.
 * The network is that of whoever calls: `freshNode` comes first.
 */
export class Contained implements AsyncDisposable {
  readonly #init: ChildProcessWithoutNullStreams;
  readonly #runtime: Runtime;
  /** The parent of all containers' cgroups, as runtimes name it. */
  readonly cgroup = `/${own}`;

  private constructor(init: ChildProcessWithoutNullStreams, runtime: Runtime) {
    this.#init = init;
    this.#runtime = runtime;
  }

  static async create(runtime: Runtime): Promise<Contained> {
    layOver(runtime);
    // Its first process reaps what others leave, and ends when this test does, of whatever cause
    const argv = ["--pid", "--fork", "--mount-proc", "--kill-child", "bash", "-c", "echo ready; while read -r; do :; done"];
    const init = spawn("unshare", argv, { stdio: "pipe" });
    const contained = new Contained(init, runtime);
    await once(init.stdout, "data");
    return contained;
  }

  /** Runs a program to its end. */
  run(...argv: readonly string[]): { status: number | null; stdout: string; stderr: string } {
    const [program = "", ...parameters] = this.enter(argv);
    const { status, stdout, stderr, error } = spawnSync(program, parameters, { env: this.environment, encoding: "utf8" });
    if (error !== undefined) throw error;
    return { status, stdout, stderr };
  }

  /** As `run`. @returns what it printed; @throws Error with its words when it fails */
  output(...argv: readonly string[]): string {
    const { status, stdout, stderr } = this.run(...argv);
    if (status !== 0) throw new Error(`${argv.join(" ")}: ${stderr.trim() || stdout.trim() || `exit code ${status}`}`);
    return stdout;
  }

  /** Starts a program. */
  start(...argv: readonly string[]): ChildProcessWithoutNullStreams {
    const [program = "", ...parameters] = this.enter(argv);
    return spawn(program, parameters, { env: this.environment, stdio: "pipe" });
  }

  get environment(): NodeJS.ProcessEnv {
    return { PATH: `${runtimePath(this.#runtime)}:/usr/sbin:/usr/bin:/sbin:/bin`, HOME: "/root", TMPDIR: "/run" };
  }

  /** The command line that runs one in here. */
  enter(argv: readonly string[]): string[] {
    const namespaces = `/proc/${this.#init.pid}/ns`;
    return ["nsenter", `--mount=${namespaces}/mnt`, `--pid=${namespaces}/pid_for_children`, "--", ...argv];
  }

  /** Kills all processes that were started, as a power failure does, and takes the names of network namespaces away. */
  crash(): void {
    this.output("sh", "-c", "kill -KILL -1; for name in /run/netns/*; do umount $name && rm $name; done");
  }

  /** Kills all processes, and waits until their cgroups are gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#init.stdin.end();
    if (this.#init.exitCode === null && this.#init.signalCode === null) await once(this.#init, "exit");
    for (const hierarchy of cgroupHierarchies()) await removeCgroup(join(hierarchy, own));
  }
}

/**
 * Hides the machine's state from this process, and puts copies of /etc and /opt, in which a runtime may write, in place of them;
 * libraries of the runtime's packages are found where this machine has none of the name.
 */
function layOver(runtime: Runtime): void {
  hideMachineState();
  for (const path of ["/etc", "/opt"]) {
    const [upper, work] = ["upper", "work"].map((name) => join("/run/laid-over", path, name));
    for (const directory of [upper, work]) mkdirSync(directory ?? "", { recursive: true });
    output("mount", "-t", "overlay", "-o", `lowerdir=${path},upperdir=${upper},workdir=${work}`, "overlay", path);
  }
  const libraries = ["usr/lib", "lib"].map((path) => join(runtimeDirectory(runtime), path)).filter((path) => existsSync(path));
  if (libraries.length > 0)
    output("mount", "-t", "overlay", "-o", `lowerdir=${["/usr/lib", ...libraries].join(":")}`, "overlay", "/usr/lib");
  // Plugins that the machine has from its distribution, which some runtimes would take first
  if (existsSync("/usr/lib/cni")) output("mount", "-t", "tmpfs", "none", "/usr/lib/cni");
}

/** A group whose last process is just being reaped is refused for a moment. */
async function removeCgroup(path: string): Promise<void> {
  if (!existsSync(path)) return;
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) await removeCgroup(join(path, entry.name));
  }
  // The kernel tells nobody when a process has left
  while (readFileSync(join(path, "cgroup.procs"), "utf8") !== "") await setTimeout(20);
  rmdirSync(path);
}
