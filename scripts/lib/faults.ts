import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cache } from "./paths.ts";

/** What one test of test/faults has tried. */
interface Tried {
  readonly type: string;
  readonly verb: string;
  /** How many changes the call makes, or how many of them were chosen. */
  readonly points: number;
  readonly kills?: number;
  readonly refusals?: number;
}

/** What all of them have tried. */
export interface FaultSum {
  readonly seed: number;
  readonly types: number;
  /** Changes at which a call was killed. */
  readonly points: number;
  /** Calls that were killed: once for each way back from there. */
  readonly kills: number;
  /** Calls of which a change was refused. */
  readonly refusals: number;
}

/** Has test/faults tell what it tries, with one seed for all its files. @returns what it has told, to be asked at the end */
export function collectFaults(options: { all?: boolean } = {}): () => FaultSum {
  const file = join(cache, "faults.jsonl");
  mkdirSync(cache, { recursive: true });
  rmSync(file, { force: true });
  process.env.PODLINK_FAULTS_REPORT = file;
  process.env.PODLINK_FAULTS_SEED ??= String(Math.floor(Math.random() * 2 ** 31));
  if (options.all === true) process.env.PODLINK_FAULTS = "all";
  return () => sum(read(file));
}

function read(file: string): Tried[] {
  try {
    return readFileSync(file, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
  } catch {
    return []; // none was run
  }
}

function sum(tried: readonly Tried[]): FaultSum {
  const total = (count: (one: Tried) => number | undefined) => tried.reduce((all, one) => all + (count(one) ?? 0), 0);
  return {
    seed: Number(process.env.PODLINK_FAULTS_SEED),
    types: new Set(tried.map(({ type }) => type)).size,
    points: total(({ kills, points }) => (kills === undefined ? 0 : points)),
    kills: total(({ kills }) => kills),
    refusals: total(({ refusals }) => refusals),
  };
}

/** For people, and after it the same for programs. */
export function describeFaults(faults: FaultSum): string {
  const { kills, points, refusals, seed, types } = faults;
  const words = `${types} types: ${kills} calls killed at ${points} changes, ${refusals} refusals; nothing left behind where no test failed`;
  return `Faults (PODLINK_FAULTS_SEED=${seed}): ${words}\nfaults ${JSON.stringify(faults)}`;
}
