import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { type Architecture, architectures, isNative } from "../architecture.ts";
import { baseNode } from "../base-node.ts";
import type { Bundle } from "../bundle.ts";
import { executable } from "../executable.ts";
import { cache, dist } from "../paths.ts";

/** What a row is given. */
export interface Bench {
  /** How often each candidate is run. */
  readonly rounds: number;
  /** The directory that was built, for this machine. */
  readonly bin: string;
  /** A directory for stores and logs, which goes afterwards. */
  readonly scratch: string;
}

/** One row: what was compared, in words and numbers, and whether it is within its limit. */
export interface Line {
  readonly text: string;
  readonly within: boolean;
}

export type Row = (bench: Bench) => Promise<Line[]>;

export const bin = join(dist, "cni");

/** A single executable of this machine's Node, made as podlink's is, but of other scripts; answers its path. */
export async function otherExecutable(
  name: string,
  code: string,
  scripts: Bundle["scripts"] | undefined = undefined,
): Promise<string> {
  const architecture = architectures.find(isNative) as Architecture;
  const path = join(cache, "executable/bench", name);
  await executable(path, { code, scripts: { ...scripts }, base: await baseNode(architecture), architecture });
  return path;
}

/** What a probe tells (probe.ts), in milliseconds; `compiled` is from before the start of the process to the script's first statement. */
export type Probed = Readonly<Record<"compiled" | "evaluated" | "own" | "outside", number>>;

export interface Called {
  /** From before the start of the process until its end. */
  readonly ms: number;
  readonly stdout: string;
  /** When the program has a probe in front. */
  readonly probed: Probed | undefined;
}

/** Runs a program once as a container runtime does; it must succeed. */
export function call(program: string, options: { env: Record<string, string>; input: string; argv0?: string }): Called {
  const started = monotonicMs();
  const { status, output, error } = spawnSync(program, [], {
    ...options,
    stdio: ["pipe", "pipe", "pipe", "pipe"],
    encoding: "utf8",
  });
  const ms = monotonicMs() - started;
  const [, stdout = "", stderr = "", told = ""] = (output ?? []).map((text) => text ?? "");
  if (status !== 0) throw new Error(`Cannot measure "${program}": status ${status}, ${error ?? ""}${stderr}${stdout}`);
  if (told === "") return { ms, stdout, probed: undefined };
  const { start, ...rest } = {
    start: Number.NaN,
    evaluated: Number.NaN,
    own: Number.NaN,
    outside: Number.NaN,
    ...JSON.parse(told),
  };
  return { ms, stdout, probed: { compiled: start - started, ...rest } };
}

function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
