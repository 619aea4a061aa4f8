import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { dist, root } from "../../scripts/lib/paths.ts";

export const bin = join(dist, "cni");

/** What a process did. */
export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Uint8Array;
  readonly cwd?: string;
}

/** Builds dist/cni where it is not there yet. To be called before the machine's state is hidden. */
export function requireBuilt(): void {
  if (existsSync(join(bin, "podlink"))) return;
  const { status, stderr } = spawnSync("npm", ["run", "build"], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "ignore", "pipe"],
  });
  if (status !== 0) throw new Error(`npm run build: ${stderr}`);
}

/** Runs a program of dist/cni with this environment and no other. */
export function run(program: string, parameters: readonly string[] = [], options: RunOptions = {}): Outcome {
  const { env = {}, input = "", cwd = "/" } = options;
  const answer = spawnSync(join(bin, program), parameters, { env, input, cwd, encoding: "utf8" });
  // a program need not read what it is given
  if (answer.error !== undefined && !("code" in answer.error && answer.error.code === "EPIPE")) throw answer.error;
  return { status: answer.status, stdout: answer.stdout, stderr: answer.stderr };
}

/** As `run`, without waiting: for many at a time. */
export function start(program: string, options: { env: Readonly<Record<string, string>>; input: string }): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(join(bin, program), [], { env: options.env, cwd: "/", stdio: "pipe" });
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.on("error", reject);
    child.on("close", (status) => resolve({ status, stdout, stderr }));
    child.stdin.on("error", () => {}).end(options.input); // as above
  });
}
