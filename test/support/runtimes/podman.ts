import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Contained } from "./contained.ts";
import { writeImage } from "./image.ts";

const HOME = "/var/lib/podman-test";
const IMAGE = "localhost/box:1";

export interface ContainerWish {
  readonly name: string;
  /** What `--publish` takes: `8081:80`. */
  readonly ports?: readonly string[];
  readonly options?: readonly string[];
}

/** podman with CNI for its networks and storage of its own, in which one image is. */
export class Podman {
  readonly #node: Contained;
  readonly #network: string;
  readonly #cgroup: string;

  /** @param options.network the name of one in /etc/cni/net.d */
  constructor(node: Contained, { network }: { network: string }) {
    this.#node = node;
    this.#network = network;
    this.#cgroup = node.cgroup;
    mkdirSync(HOME, { recursive: true });
    mkdirSync("/etc/containers", { recursive: true });
    for (const [path, text] of Object.entries(configuration())) writeFileSync(path, text);
    const image = join(HOME, "image.tar");
    writeImage(image, { names: [IMAGE], command: ["/bin/sleep", "2147483647"] });
    this.call("load", "--input", image);
  }

  /** @throws Error with podman's words when it fails */
  call(...parameters: readonly string[]): string {
    return this.#node.output("podman", ...parameters);
  }

  /** Starts a container that stays. */
  start({ name, ports = [], options = [] }: ContainerWish): void {
    this.call(
      "run",
      "--detach",
      ...this.#where(),
      ...ports.flatMap((port) => ["--publish", port]),
      ...options,
      "--name",
      name,
      IMAGE,
    );
  }

  /** Runs a command in a container that goes with it. */
  runOnce(...command: readonly string[]): { status: number | null; stdout: string; stderr: string } {
    return this.#node.run("podman", "run", "--rm", ...this.#where(), IMAGE, ...command);
  }

  execute(name: string, ...command: readonly string[]): string {
    return this.call("exec", name, ...command);
  }

  /** Its addresses in the network. */
  addresses(name: string): string[] {
    const [container] = JSON.parse(this.call("inspect", name));
    const { IPAddress, GlobalIPv6Address } = container.NetworkSettings.Networks[this.#network];
    return [IPAddress, GlobalIPv6Address].filter((address) => address !== "");
  }

  /** podman's containers may not ping unless they are told that they may. */
  #where(): string[] {
    return [`--network=${this.#network}`, "--cap-add=NET_RAW", `--cgroup-parent=${this.#cgroup}`];
  }
}

/** Nothing that this machine may lack: no systemd, no limits above those there are. */
function configuration(): Record<string, string> {
  const sections = {
    containers: { default_ulimits: ["nofile=1024:1024", "nproc=1024:1024"], apparmor_profile: "" },
    network: { network_backend: "cni", cni_plugin_dirs: ["/opt/cni/bin"], network_config_dir: "/etc/cni/net.d" },
    engine: { cgroup_manager: "cgroupfs", events_logger: "file", runtime: "runc", tmp_dir: "/run/podman-test/tmp" },
    storage: { driver: "overlay", graphroot: join(HOME, "storage"), runroot: "/run/podman-test/storage" },
  };
  const written = (...names: (keyof typeof sections)[]) =>
    names
      .flatMap((name) => [
        `[${name}]`,
        ...Object.entries(sections[name]).map(([key, value]) => `${key} = ${JSON.stringify(value)}`),
        "",
      ])
      .join("\n");
  return {
    "/etc/containers/containers.conf": written("containers", "network", "engine"),
    "/etc/containers/storage.conf": written("storage"),
    "/etc/containers/policy.json": JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }),
  };
}
