import type { ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Contained } from "./contained.ts";
import { Cri } from "./cri.ts";
import { writeImage } from "./image.ts";

const HOME = "/var/lib/containerd-test";
const STATE = "/run/containerd-test";
const SOCKET = join(STATE, "containerd.sock");

/** The image of all containers, and of pods' sandboxes: a runtime kills a sandbox, so any program that lives does. */
export const IMAGE = "docker.io/library/box:1";
const PAUSE = "registry.k8s.io/pause:3.10";

/** containerd with everything of its own, in which images are already. */
export class Containerd {
  readonly #node: Contained;
  readonly #config = join(HOME, "config.toml");
  #daemon: ChildProcessWithoutNullStreams | undefined;
  #cri: Cri | undefined;

  /** @param options.major of containerd: 2 has another format of configuration */
  constructor(node: Contained, { major }: { major: number }) {
    this.#node = node;
    mkdirSync(HOME, { recursive: true });
    writeFileSync(this.#config, configuration(major));
  }

  get cri(): Cri {
    if (this.#cri === undefined) throw new Error("containerd was not started");
    return this.#cri;
  }

  /** Starts the daemon, and waits until it says that it is there. */
  async start(): Promise<void> {
    const daemon = this.#node.start("containerd", "--config", this.#config);
    this.#daemon = daemon;
    const said: string[] = [];
    const booted = Promise.withResolvers<void>();
    createInterface({ input: daemon.stderr }).on("line", (line) => {
      said.push(line);
      if (line.includes("containerd successfully booted")) booted.resolve();
    });
    daemon.stdout.resume();
    daemon.once("exit", (code) => booted.reject(new Error(`containerd: exit code ${code}: ${said.join("\n")}`)));
    await booted.promise;
    this.#cri = new Cri(SOCKET);
    await this.#cri.initialized();
  }

  /** Ends the daemon; containers go on. */
  async stop(): Promise<void> {
    this.#cri?.[Symbol.dispose]();
    const daemon = this.#daemon;
    if (daemon === undefined || daemon.exitCode !== null || daemon.signalCode !== null) return;
    const gone = once(daemon, "exit");
    // nsenter waits for what it started, which has a number in there that is not known here
    this.#node.output("sh", "-c", `kill -TERM "$(pidof containerd)"`);
    await gone;
  }

  /** Ends as the machine does when its power fails: no container lives on, and what is in memory alone is gone. */
  async crash(): Promise<void> {
    this.#cri?.[Symbol.dispose]();
    const gone = this.#daemon === undefined ? undefined : once(this.#daemon, "exit");
    this.#node.crash();
    await gone;
    const lines = this.#node.output("cat", "/proc/self/mounts").split("\n");
    const mounts = lines.map((line) => line.split(" ")[1] ?? "").filter((path) => path.startsWith(`${STATE}/`));
    if (mounts.length > 0) this.#node.output("umount", ...mounts.reverse());
    this.#node.output("rm", "-rf", STATE);
  }

  importImages(): void {
    const file = join(HOME, "image.tar");
    if (existsSync(file)) return;
    writeImage(file, { names: [IMAGE, PAUSE], command: ["/bin/sleep", "2147483647"] });
    for (const namespace of ["k8s.io", "default"])
      this.#node.output(...this.#ctr("--namespace", namespace, "images", "import", file));
    rmSync(file);
  }

  /** Runs a command in a container of its own, in the network of /etc/cni/net.d, with the plugins of /opt/cni/bin. */
  runByCtr(name: string, ...command: readonly string[]): { status: number | null; stdout: string; stderr: string } {
    const cgroup = `${this.#node.cgroup}/${name}`;
    return this.#node.run(...this.#ctr("run", "--rm", "--cni", "--cgroup", cgroup, IMAGE, name, ...command));
  }

  #ctr(...parameters: readonly string[]): string[] {
    return ["ctr", "--address", SOCKET, ...parameters];
  }
}

/**
 * Nothing that this machine may lack: no AppArmor, no lowering of scores for the killer of processes. Where Debian's looks for plugins
 * differs from release to release; networks are in /etc/cni/net.d.
 */
function configuration(major: number): string {
  const runtime = { runtime_type: "io.containerd.runc.v2" };
  const settings = { disable_apparmor: true, restrict_oom_score_adj: true };
  const sections: Record<string, Record<string, unknown>> = {
    "": { version: major >= 2 ? 3 : 2, root: join(HOME, "root"), state: STATE },
    grpc: { address: SOCKET },
    'plugins."io.containerd.internal.v1.opt"': { path: join(HOME, "opt") },
    ...(major >= 2
      ? {
          'plugins."io.containerd.nri.v1.nri"': { disable: true },
          'plugins."io.containerd.cri.v1.images".pinned_images': { sandbox: PAUSE },
          'plugins."io.containerd.cri.v1.runtime"': settings,
          'plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc': runtime,
          'plugins."io.containerd.cri.v1.runtime".cni': { bin_dirs: ["/opt/cni/bin"] },
        }
      : {
          'plugins."io.containerd.grpc.v1.cri"': { ...settings, sandbox_image: PAUSE },
          'plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc': runtime,
          'plugins."io.containerd.grpc.v1.cri".cni': { bin_dir: "/opt/cni/bin" },
        }),
  };
  return Object.entries(sections)
    .map(([name, keys]) => {
      const lines = Object.entries(keys).map(([key, value]) => `${key} = ${JSON.stringify(value)}\n`);
      return `${name === "" ? "" : `[${name}]\n`}${lines.join("")}`;
    })
    .join("\n");
}
