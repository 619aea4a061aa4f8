import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { unpacked } from "../../scripts/lib/debian.ts";
import { libc } from "../../src/sys/libc.ts";

// linux/sched.h, linux/mount.h
const CLONE_NEWNS = 0x00020000;
const CLONE_NEWNET = 0x40000000;
const MS_RDONLY = 1n;
const MS_REMOUNT = 32n;
const MS_BIND = 4096n;
const MS_REC = 16384n;
const MS_PRIVATE = 262144n;

/**
 * A node with nothing on it: a root that holds only glibc and libstdc++ of this machine's distribution, in a mount and a network
 * namespace of the test's own process. No libatomic, Node, shell or iproute2; the bin directory is mounted read-only.
 */
export class BareHost implements Disposable {
  readonly root: string;
  readonly #mounts: string[] = [];

  private constructor(root: string) {
    this.root = root;
  }

  /** Moves this process into new mount and network namespaces and lays the root out. @param bin is seen as /opt/cni/bin in it */
  static async create(bin: string): Promise<BareHost> {
    const libraries = await unpacked("libc6", "libstdc++6", "libgcc-s1");
    libc("unshare", CLONE_NEWNS | CLONE_NEWNET);
    libc("mount", "none", "/", null, MS_REC | MS_PRIVATE, null);
    const host = new BareHost(mkdtempSync(join(tmpdir(), "podlink-bare-")));
    host.#layOut(libraries);
    host.#mount("proc", { target: "/proc", type: "proc" });
    host.#mount(bin, { target: "/opt/cni/bin" });
    libc("mount", null, join(host.root, "/opt/cni/bin"), null, MS_REMOUNT | MS_BIND | MS_RDONLY, null);
    return host;
  }

  /** Runs a program of the root in it, with this environment and no other, in the directory `/`. */
  run(
    program: string,
    options: { env: Record<string, string>; input?: string },
  ): { status: number | null; stdout: string; stderr: string } {
    // chroot(1) is the machine's own, and so is its environment; env(1) would have to be in the root
    const argv = ["--", this.root, program];
    const { status, stdout, stderr, error } = spawnSync("/usr/sbin/chroot", argv, { ...options, encoding: "utf8", cwd: "/" });
    if (error !== undefined) throw error;
    return { status, stdout, stderr };
  }

  #layOut(libraries: string): void {
    for (const directory of ["usr/lib", "usr/lib64", "proc", "sys", "opt/cni/bin", "var/lib", "etc"])
      mkdirSync(join(this.root, directory), { recursive: true });
    // Older packages have their files in /lib, newer ones in /usr/lib; in a real root one is a link to the other
    for (const name of ["lib", "lib64"]) {
      for (const source of [join(libraries, name), join(libraries, "usr", name)]) {
        if (existsSync(source)) cpSync(source, join(this.root, "usr", name), { recursive: true, verbatimSymlinks: true });
      }
      symlinkSync(`usr/${name}`, join(this.root, name));
    }
  }

  #mount(source: string, { target, type = null }: { target: string; type?: string | null }): void {
    const path = join(this.root, target);
    libc("mount", source, path, type, type === null ? MS_BIND : 0n, null);
    this.#mounts.push(path);
  }

  [Symbol.dispose](): void {
    for (const path of this.#mounts.reverse()) libc("umount2", path, 0);
    rmSync(this.root, { recursive: true });
  }

  /** All files of the root, for a test to see what is not there. */
  libraries(): string[] {
    return readdirSync(join(this.root, "usr"), { recursive: true, encoding: "utf8" });
  }
}
