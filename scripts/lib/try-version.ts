import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { type Architecture, isNative } from "./architecture.ts";
import { foreignRoot } from "./debian.ts";
import { cache, root } from "./paths.ts";
import { hasProgram } from "./run.ts";
import { stamped } from "./stamped.ts";

/** How to start an architecture's executable on this machine, or undefined when the emulator that it takes is not installed. */
export async function runner(architecture: Architecture): Promise<readonly string[] | undefined> {
  if (isNative(architecture)) return [];
  return hasProgram(architecture.emulator) ? [architecture.emulator, "-L", await foreignRoot(architecture)] : undefined;
}

/**
 * Calls VERSION once through a plugin's link of a new bin directory.
 * @throws Error when it does not exit with 0, or writes to stderr (as it does when the code cache does not fit)
 */
export async function tryVersion(
  directory: string,
  { architecture, key }: { architecture: Architecture; key: string },
): Promise<void> {
  const prefix = await runner(architecture);
  if (prefix === undefined) {
    console.log(`${architecture.name} was not tried: ${architecture.emulator} (package qemu-user-static) is not installed`);
    return;
  }
  await stamped(join(cache, "tried", architecture.name), { key }, async (path) => {
    const [program = "", ...parameters] = [...prefix, join(directory, "bridge")];
    const call = { env: { CNI_COMMAND: "VERSION" }, input: '{"cniVersion":"1.1.0"}', encoding: "utf8" } as const;
    const { status, signal, stdout, stderr } = spawnSync(program, parameters, call);
    if (status !== 0 || stderr !== "" || !stdout.includes("supportedVersions")) {
      throw new Error(
        `${relative(root, directory)}/bridge does not answer VERSION: status ${status ?? signal}, ${stderr}${stdout}`,
      );
    }
    writeFileSync(path, stdout);
  });
}
