import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cache } from "../paths.ts";
import { run } from "../run.ts";
import { digest, stamped } from "../stamped.ts";
import { busybox } from "./host.ts";
import { type Kernel, moduleFiles } from "./kernel.ts";

/** Without these there is no root file system; all others are loaded from there, as on any machine. */
const modules = ["virtio_pci", "virtiofs", "overlay"];

/** Makes the first file system of the virtual machine: busybox, three modules with what they need, and init.sh. */
export async function initramfs(kernel: Kernel): Promise<string> {
  const file = join(cache, "kernels", `${kernel.choice}.cpio`);
  const init = fileURLToPath(new URL("init.sh", import.meta.url));
  const files = moduleFiles(kernel, modules);
  const key = digest(kernel.release, ...[init, busybox, ...files].map((path) => readFileSync(path)));
  await stamped(file, { key }, async (path) => {
    const work = mkdtempSync(join(cache, "initramfs-"));
    try {
      for (const directory of ["bin", "modules", "proc", "sys", "outside", "memory", "root"]) mkdirSync(join(work, directory));
      copyFileSync(busybox, join(work, "bin/busybox"));
      copyFileSync(init, join(work, "init"));
      chmodSync(join(work, "init"), 0o755);
      for (const module of files) await putModule(module, join(work, "modules"));
      const order = files.map((module) => `${plainName(module)}\n`);
      writeFileSync(join(work, "modules/order"), order.join(""));
      const names = readdirSync(work, { recursive: true, encoding: "utf8" }).sort();
      const packing = { cwd: work, input: names.join("\n"), maxBuffer: 2 ** 26 };
      writeFileSync(path, execFileSync("cpio", ["--create", "--format=newc", "--quiet"], packing));
    } finally {
      rmSync(work, { recursive: true });
    }
  });
  return file;
}

/** busybox loads no compressed modules, which Debian's are since 6.10. */
async function putModule(module: string, directory: string): Promise<void> {
  copyFileSync(module, join(directory, basename(module)));
  if (module.endsWith(".xz")) await run(["xz", "--decompress", join(directory, basename(module))]);
}

function plainName(module: string): string {
  return basename(module, ".xz");
}
