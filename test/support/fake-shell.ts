import { join } from "node:path";
import { runCommand } from "../../src/cli/run.ts";
import type { Shell } from "../../src/cli/shell.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/** What a command left behind. */
export interface Typed {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * A shell in a directory of its own; configurations are looked for in `conf` and results remembered in `cache` there.
 * Plugins answer nothing unless `changes.invoke` says otherwise.
 */
export function fakeShell(changes: Partial<Shell> = {}): { directory: string; type: (...argv: string[]) => Typed } {
  const directory = temporaryDirectory();
  const env = { NETCONFPATH: join(directory, "conf"), PODLINK_CACHE_DIR: join(directory, "cache"), ...changes.env };
  return {
    directory,
    type(...argv) {
      let stdout = "";
      let stderr = "";
      const shell: Shell = {
        argv,
        cwd: directory,
        executable: join(directory, "podlink"),
        version: "1.2.3",
        pluginTypes: ["bridge", "host-local"],
        pid: 4321,
        untilStopped: () => new Promise(() => {}),
        invoke: () => ({ exitCode: 0, stdout: "", stderr: "" }),
        out: (text) => {
          stdout += text;
          return true;
        },
        err: (text) => {
          stderr += text;
        },
        ...changes,
        env,
      };
      const exitCode = runCommand(shell);
      if (typeof exitCode !== "number") throw new Error(`podlink ${argv[0]} is not done yet`);
      return { exitCode, stdout, stderr };
    },
  };
}
