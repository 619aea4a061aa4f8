import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cache } from "./paths.ts";

/** What one test of test/faults has tried: changes of a call, */
interface TriedCall {
  readonly type: string;
  readonly verb: string;
  /** How many changes the call makes, or how many of them were chosen. */
  readonly points: number;
  readonly kills?: number;
  readonly refusals?: number;
}

/** or something else that is counted. */
export interface TriedMany {
  /** `input`: somebody meant no good; `flood`: many at once or one after the other. */
  readonly kind: "input" | "flood";
  readonly what: string;
  readonly count: number;
}

type Tried = TriedCall | TriedMany;

/** What all of them have tried. */
export interface FaultSum {
  readonly seed: number;
  /** How many of what. */
  readonly inputs: Readonly<Record<string, number>>;
  readonly floods: Readonly<Record<string, number>>;
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
  const calls = tried.filter((one) => "verb" in one);
  const total = (count: (one: TriedCall) => number | undefined) => calls.reduce((all, one) => all + (count(one) ?? 0), 0);
  const counts = (kind: TriedMany["kind"]) => {
    const found: Record<string, number> = {};
    for (const one of tried) if ("kind" in one && one.kind === kind) found[one.what] = (found[one.what] ?? 0) + one.count;
    return Object.fromEntries(Object.entries(found).sort());
  };
  return {
    seed: Number(process.env.PODLINK_FAULTS_SEED),
    inputs: counts("input"),
    floods: counts("flood"),
    types: new Set(calls.map(({ type }) => type)).size,
    points: total(({ kills, points }) => (kills === undefined ? 0 : points)),
    kills: total(({ kills }) => kills),
    refusals: total(({ refusals }) => refusals),
  };
}

/** For people, and after it the same for programs. Where no test failed, nothing was left behind, and nothing else was changed. */
export function describeFaults(faults: FaultSum): string {
  const { inputs, floods, kills, points, refusals, seed, types } = faults;
  const all = Object.values(inputs).reduce((sum, count) => sum + count, 0);
  const list = (counts: Readonly<Record<string, number>>) => Object.entries(counts).map(([what, count]) => `  ${count} ${what}`);
  return [
    `Faults (PODLINK_FAULTS_SEED=${seed}); nothing left behind where no test failed:`,
    `  ${types} types: ${kills} calls killed at ${points} changes, ${refusals} refusals`,
    ...list(floods),
    `Hostile inputs: ${all}`,
    ...list(inputs),
    `faults ${JSON.stringify(faults)}`,
  ].join("\n");
}
