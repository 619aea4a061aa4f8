import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { bin } from "../executable.ts";

/** A process that takes longer than this hangs. */
const LONGEST_MS = 60_000 * Number(process.env.PODLINK_SLOW ?? 1);

export interface Ended {
  readonly status: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a plugin of dist/cni with this environment and no other, where a core would be hidden (hideMachineState), and ends it when it hangs: its signal is SIGKILL then. */
export function runPlugin(type: string, { env, stdin }: { env: Readonly<Record<string, string>>; stdin: Uint8Array }): Ended {
  const options = { env, input: stdin, cwd: "/run", encoding: "utf8", timeout: LONGEST_MS, killSignal: "SIGKILL" } as const;
  const { error, status, signal, stdout, stderr } = spawnSync(join(bin, type), [], options);
  // a program need not read what it is given, and one that hangs is told by its signal
  if (error !== undefined && !("code" in error && ["EPIPE", "ETIMEDOUT"].includes(String(error.code)))) throw error;
  return { status, signal, stdout, stderr };
}
