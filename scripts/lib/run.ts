import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const execute = promisify(execFile);

/**
 * Runs a program to its end and answers its stdout.
 * @throws Error with the command line and what the program wrote, when it exits with anything but 0
 */
export async function run(
  argv: readonly [string, ...string[]],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<string> {
  const [program, ...parameters] = argv;
  try {
    const { stdout } = await execute(program, parameters, { ...options, maxBuffer: 64 * 2 ** 20 });
    return stdout;
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    throw new Error(
      `Cannot run "${argv.join(" ")}": ${[stderr, stdout, String(error)].find((text) => text.trim() !== "")?.trim()}`,
      { cause: error },
    );
  }
}

/** Whether PATH (or the place root's programs are in) has an executable of this name. */
export function hasProgram(name: string): boolean {
  return [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin"].some((directory) => {
    try {
      accessSync(join(directory, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
