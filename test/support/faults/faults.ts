import { appendFileSync, readFileSync } from "node:fs";
import { expect } from "vitest";
import { type Point, pointsIn } from "./points.ts";
import { differences, type RecordedStep } from "./recorded.ts";
import type { Attachment, Site } from "./site.ts";
import { type Fault, type Traced, trace } from "./trace.ts";
import { arrange } from "./ways.ts";

/** Types whose calls are killed at every point each time; of all others a tenth is tried, or all with PODLINK_FAULTS=all. */
const always = new Set(["bridge", "host-local", "podlink"]);

/** Chooses the tenth; PODLINK_FAULTS_SEED repeats a choice. */
export const seed = Number(process.env.PODLINK_FAULTS_SEED ?? Math.floor(Math.random() * 2 ** 31));

/** On an emulated machine (scripts/test-kernels) one point of each call must do. */
const isSlow = process.env.PODLINK_SLOW !== undefined;

/** Whether nothing is left out. */
export const isEverythingTried = process.env.PODLINK_FAULTS === "all";

/** Whether a type's calls are killed at all points. */
export function isTriedWhole(type: string): boolean {
  return (always.has(type) && !isSlow) || isEverythingTried;
}

/** Everything there is to try with a type, or the seeded tenth of it. */
export function chosen<T>(
  everything: readonly T[],
  { type, all = isEverythingTried }: { type: string; all?: boolean },
): readonly T[] {
  if (all) return everything;
  const random = mulberry32(seed ^ [...type].reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), everything.length));
  const order = everything.map((item, at) => ({ item, at, rank: random() })).sort((one, other) => one.rank - other.rank);
  const tenth = order.slice(0, isSlow ? 1 : Math.ceil(everything.length / 10));
  return tenth.sort((one, other) => one.at - other.at).map(({ item }) => item);
}

/** One of a list, by the same seed. */
export function pick<T>(list: readonly T[], number: number): readonly T[] {
  if (isEverythingTried) return list;
  return list.filter((_, at) => at === (seed + number) % list.length);
}

/** What a test has tried, for the README's table: on stdout and, a line of JSON each, in the file that PODLINK_FAULTS_REPORT names. */
export function report(tried: { type: string; verb: string; points: number; kills?: number; refusals?: number }): void {
  const line = JSON.stringify({ ...tried, seed });
  console.log(`faults ${line}`);
  const { PODLINK_FAULTS_REPORT: file } = process.env;
  if (file !== undefined) appendFileSync(file, `${line}\n`);
}

/** The points of a call that nothing happens to, each of which belongs to a change that it recorded. */
export function listPoints(site: Site, verb: string, attachment: Attachment): Point[] {
  const traced = trace(site.processCall(verb, attachment));
  expect(traced, `${verb} of ${site.example.type}`).toMatchObject({ status: 0 });
  const points = pointsIn(traced.syscalls);
  expect(differences(points, recordedSteps()), `the log of ${verb} and what strace saw`).toEqual([]);
  return points;
}

/** What the log says of the last call; nothing where that could not write it. */
export function recordedSteps(): RecordedStep[] {
  try {
    const lines = readFileSync("/var/log/podlink/podlink.log", "utf8").trim().split("\n");
    return JSON.parse(lines.at(-1) ?? "").steps;
  } catch {
    return [];
  }
}

/** How often a call is tried again whose first system calls, which are Node's own, were not as many as before. */
const TRIES = 5;

/** A call in which something happens to a point, on a node of its own. */
export function hit(
  site: Site,
  point: Point,
  { verb, kind }: { verb: string; kind: Fault["kind"] },
): { attachment: Attachment; traced: Traced } {
  let { ordinal } = point;
  for (let tries = 0; tries < TRIES; tries++) {
    const attachment = arrange(site, verb);
    const traced = trace(site.processCall(verb, attachment), { name: point.name, ordinal, kind });
    const found = pointsIn(traced.syscalls, { ...point, ordinal })[point.index];
    const isSame = found?.name === point.name && found.about === point.about;
    if (isSame && found.ordinal === ordinal) {
      expect(traced.killed).toBe(kind === "KILL");
      return { attachment, traced };
    }
    ordinal = isSame ? found.ordinal : point.ordinal;
  }
  throw new Error(`Cannot hit "${point.about}" of ${verb}: it is never the call's change number ${point.index + 1}`);
}

/** A small random generator (mulberry32). @returns numbers from 0 to 1 */
function mulberry32(start: number): () => number {
  let state = start | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
