import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unpacked } from "../../scripts/lib/debian.ts";

/** buildah with a storage of its own, which goes with it; nothing is pulled, and the machine's images stay as they are. */
export class Buildah implements Disposable {
  readonly #home = mkdtempSync(join(tmpdir(), "podlink-buildah-"));

  /** Builds an image from a Dockerfile; `localhost/base` is one that `buildBase` made. */
  build(context: string, options: { tag: string; args?: Record<string, string> }): void {
    const args = Object.entries(options.args ?? {}).map(([name, value]) => `--build-arg=${name}=${value}`);
    this.#call(
      "bud",
      "--isolation=chroot",
      "--pull=never",
      `--tag=${options.tag}`,
      ...args,
      `--file=${join(context, "Dockerfile")}`,
      context,
    );
  }

  /** Makes an image with glibc and libstdc++ of this machine's distribution, and nothing else. */
  async buildBase(tag: string): Promise<void> {
    const context = join(this.#home, "base");
    mkdirSync(context);
    cpSync(await unpacked("libc6", "libstdc++6", "libgcc-s1"), join(context, "root"), {
      recursive: true,
      verbatimSymlinks: true,
    });
    writeFileSync(join(context, "Dockerfile"), "FROM scratch\nCOPY root /\n");
    this.build(context, { tag });
  }

  /** The command an image runs. */
  entrypoint(image: string): string[] {
    return JSON.parse(this.#call("inspect", "--type=image", image)).OCIv1.config.Entrypoint;
  }

  /** Starts a container of an image, runs a command in it with directories of this machine mounted, and removes it. */
  run(
    image: string,
    options: { command: readonly string[]; mounts: readonly string[] },
  ): { status: number | null; stdout: string; stderr: string } {
    const container = this.#call("from", "--pull=never", image).trim();
    try {
      const mounts = options.mounts.map((mount) => `--volume=${mount}`);
      const argv = this.#argv("run", "--isolation=chroot", ...mounts, container, "--", ...options.command);
      const { status, stdout, stderr } = spawnSync("buildah", argv, { encoding: "utf8" });
      return { status, stdout, stderr };
    } finally {
      this.#call("rm", container);
    }
  }

  #argv(...parameters: string[]): string[] {
    return ["--root", join(this.#home, "storage"), "--runroot", join(this.#home, "run"), "--storage-driver=vfs", ...parameters];
  }

  #call(...parameters: string[]): string {
    const { status, stdout, stderr } = spawnSync("buildah", this.#argv(...parameters), { encoding: "utf8" });
    if (status !== 0) throw new Error(`buildah ${parameters.join(" ")}: ${stderr}`);
    return stdout;
  }

  [Symbol.dispose](): void {
    rmSync(this.#home, { recursive: true });
  }
}
