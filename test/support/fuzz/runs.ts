import { DynamicLibrary } from "node:ffi";
import { appendFileSync, ftruncateSync, mkdirSync, openSync, writeSync } from "node:fs";
import { basename, join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeEach, expect } from "vitest";
import type { TriedMany } from "../../../scripts/lib/faults.ts";
import { cache } from "../../../scripts/lib/paths.ts";

/** A call that takes longer than this hangs. */
const LONGEST_CALL_S = 120;

/** Everything is tried, and often: scripts/test-faults. */
export const isWhole = process.env.PODLINK_FAULTS === "all";

/** How often a property is tried: `PODLINK_FUZZ_RUNS`, times `weight`. */
export function runs(weight = 1): number {
  return Math.max(1, Math.round(Number(process.env.PODLINK_FUZZ_RUNS ?? (isWhole ? 500 : 15)) * weight));
}

/** On an emulated machine (scripts/test-kernels) little must do. */
export const isSlow = process.env.PODLINK_SLOW !== undefined;

/** `PODLINK_FAULTS_SEED`, or another one each time. */
export const seed = Number(process.env.PODLINK_FAULTS_SEED ?? Date.now() % 0x7fffffff);

/** What was tried, for the README's table: on stdout and, a line of JSON, in the file that PODLINK_FAULTS_REPORT names. */
export function tell(tried: TriedMany, outcomes: Readonly<Record<string, number>> = {}): void {
  console.log(`${tried.count} ${tried.what} ${JSON.stringify(outcomes)}, PODLINK_FAULTS_SEED=${seed}`);
  openReport();
  if (report !== undefined) appendFileSync(report, `${JSON.stringify(tried)}\n`);
}

let report: number | undefined;

/** To be called before the machine is protected: it can no longer be written then. */
function openReport(): void {
  const { PODLINK_FAULTS_REPORT: file } = process.env;
  if (file !== undefined) report ??= openSync(file, "a");
}

/** What a file of tests has tried, told at its end with the seed that tries the same again. */
export class Tried {
  readonly #counts = new Map<string, number>();

  constructor(what: string) {
    openReport();
    afterAll(() => tell({ kind: "input", what, count: this.total }, Object.fromEntries(this.#counts)));
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  of(outcome: string): number {
    return this.#counts.get(outcome) ?? 0;
  }

  count(outcome: string): void {
    this.#counts.set(outcome, this.of(outcome) + 1);
  }
}

/** fast-check's `assert` with the seed and the number of runs that were asked for. */
export function tryAll<T>(input: fc.Arbitrary<T>, { weight = 1, holds }: { weight?: number; holds: (value: T) => void }): void {
  fc.assert(fc.property(input, holds), {
    numRuns: runs(weight),
    seed,
    endOnFailure: process.env.PODLINK_FUZZ_SHRINK === undefined,
  });
}

/** As `tryAll`, for what takes turns with others. */
export async function tryAllAsync<T>(
  input: fc.Arbitrary<T>,
  { weight = 1, holds }: { weight?: number; holds: (value: T) => Promise<void> },
): Promise<void> {
  const endOnFailure = process.env.PODLINK_FUZZ_SHRINK === undefined;
  await fc.assert(fc.asyncProperty(input, holds), { numRuns: runs(weight), seed, endOnFailure });
}

let alarm: ((seconds: number) => number) | undefined;

let last: number | undefined;

/** Where the input that is being tried is found after it hung. To be called before the machine is protected. */
export function rememberInputs(): void {
  mkdirSync(cache, { recursive: true });
  last = openSync(join(cache, `fuzz-input-${basename(expect.getState().testPath ?? "")}`), "w");
}

/**
 * Synchronous work that never ends is ended by the kernel, with this process; each call puts the end off.
 * @param input what is tried now
 */
export function notForEver(input = ""): void {
  if (last !== undefined) {
    ftruncateSync(last);
    writeSync(last, input, 0);
  }
  alarm ??= new DynamicLibrary(null).getFunction("alarm", { return: "u32", arguments: ["u32"] }) as (seconds: number) => number;
  alarm(LONGEST_CALL_S * Number(process.env.PODLINK_SLOW ?? 1));
}

/** Every test of the file is watched by `notForEver`, and what comes after it is not. */
export function watchForHangs(): void {
  beforeEach(() => notForEver());
  afterAll(() => void alarm?.(0));
}
