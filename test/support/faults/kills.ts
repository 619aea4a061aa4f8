import { expect } from "vitest";
import { chosen, hit, isTriedWhole, listPoints, report } from "./faults.ts";
import { isChange, type Point } from "./points.ts";
import type { Site } from "./site.ts";
import { addAgain, arrange, collect, detach, problemsOf, type Way } from "./ways.ts";

/** The ways back from a killed call of each verb; the container of a GC is gone. */
const ways: Readonly<Record<string, readonly [name: string, way: Way][]>> = {
  ADD: [
    ["DEL", detach],
    ["the same ADD", addAgain],
    ["GC", collect],
  ],
  CHECK: [["DEL", detach]],
  DEL: [
    ["DEL", detach],
    ["GC", collect],
  ],
  GC: [["GC", collect]],
};

/** Kills a call at each of its changes and shows that every way back leads to where it leads after one that was not killed. */
export function killEverywhere(site: Site, verb: string): void {
  const { type } = site.example;
  const problems: string[] = [];
  let points: readonly Point[] | undefined;
  let tried: readonly Point[] = [];
  let kills = 0;
  for (const [name, way] of ways[verb] ?? []) {
    const example = arrange(site, verb);
    if (points === undefined) points = listPoints(site, verb, example);
    else site.succeed(verb, example);
    const wanted = way(site, example, "late");
    const lastChange = points.findLastIndex(isChange);
    tried = chosen(
      points.filter(({ means }) => means !== "namespace" && (means !== "log" || isTriedWhole(type))),
      { type, all: isTriedWhole(type) },
    );
    for (const point of tried) {
      const { attachment } = hit(site, point, { verb, kind: "KILL" });
      kills++;
      const killed = point.index > lastChange ? "late" : "early";
      for (const line of problemsOf(() => way(site, attachment, killed), wanted))
        problems.push(`${verb} killed at ${point.about} (${point.name}#${point.ordinal}), then ${name}: ${line}`);
    }
  }
  report({ type, verb, points: tried.length, kills });
  expect(problems).toEqual([]);
}
