import { describe, expect, it } from "vitest";
import { chart } from "../../../scripts/lib/bench/chart.ts";
import { compare, constant, type Figure, reached } from "../../../scripts/lib/bench/figure.ts";
import { alternate, summarize } from "../../../scripts/lib/bench/measure.ts";
import { withSection } from "../../../scripts/lib/bench/readme.ts";
import { ended, start } from "../../../scripts/lib/bench/spawn.ts";
import { table, verdict } from "../../../scripts/lib/bench/table.ts";

const figure = (ours: number, others: Record<string, number>, more: Partial<Figure> = {}): Figure => ({
  group: "ADD",
  name: "bridge",
  unit: "ms",
  ours: constant(ours),
  others: Object.fromEntries(Object.entries(others).map(([label, value]) => [label, constant(value)])),
  ...more,
});

describe("the bench's figures", () => {
  it("are compared with the best of the others", () => {
    expect(compare(figure(20, { "1.1.1": 10, "1.9.1": 8 }))).toMatchObject({ against: "1.9.1", ratio: 2.5 });
    expect(compare(figure(20, {}))).toBeUndefined();
  });

  it("have a ratio above 1 for a lower rate", () => {
    const rate = figure(5, { "1.1.1": 10, "1.9.1": 8 }, { unit: "Gbit/s", group: "Traffic" });
    expect(compare(rate)).toMatchObject({ against: "1.1.1", ratio: 2 });
  });

  it("say worse as plainly as better", () => {
    expect(verdict(figure(20, { "1.9.1": 10 }))).toBe("**2.00 times worse**");
    expect(verdict(figure(10, { "1.9.1": 20 }))).toBe("2.00 times better");
    expect(verdict(figure(100, { "1.9.1": 98 }))).toBe("the same");
    expect(verdict(figure(20, { "1.9.1": 10 }, { goal: 1 }))).toBe("**goal missed**, **2.00 times worse**");
    expect(verdict(figure(20, { "1.9.1": 10 }, { goal: 2 }))).toBe("goal reached, **2.00 times worse**");
    expect(verdict(figure(1, {}, { goal: 2, ownMeasure: true }))).toBe("goal reached");
  });

  it("reach a goal by their ratio, or by their own number where there is nothing to compare with", () => {
    expect(reached(figure(20, { "1.9.1": 10 }))).toBe(2);
    expect(reached(figure(20, {}))).toBe(20);
  });

  it("make a table", () => {
    const own = { median: 1234.4, low: 99.96, high: 2000, samples: 9 };
    expect(
      table([{ ...figure(0, { "1.9.1": 100 }), ours: own }])
        .split("\n")
        .at(-1),
    ).toBe("| bridge | 1,234 [100.0–2,000] ms | 100 (1.9.1) | 12 |  | **12 times worse** |");
  });

  it("make a chart in which better and worse differ, without what has no reference", () => {
    const some = [
      figure(20, { a: 10 }),
      figure(10, { a: 40 }, { name: "a < b" }),
      figure(1, { b: 1 }, { ownMeasure: true, name: "own" }),
    ];
    const svg = chart(some);
    expect(svg).toContain("2.00 × worse");
    expect(svg).toContain("a &lt; b");
    expect(svg.match(/<rect class="worse"/g)).toHaveLength(1);
    expect(svg.match(/<rect class="better"/g)).toHaveLength(1);
    expect(svg).not.toContain("own<");
  });
});

describe("alternate", () => {
  it("runs every candidate once without counting it, then each round in the opposite order", () => {
    const calls: string[] = [];
    const run = (name: string) => () => {
      calls.push(name);
      return { n: calls.length };
    };
    const { a } = alternate({ a: run("a"), b: run("b") }, { rounds: 2, seconds: 60 });
    expect(calls.join("")).toBe("abab" + "ba");
    expect(a.n).toMatchObject({ low: 3, high: 6, samples: 2 });
  });

  it("stops after its time, but not before the fifth round", () => {
    let runs = 0;
    alternate({ one: () => ({ n: runs++ }) }, { rounds: 100, seconds: 0 });
    expect(runs).toBe(6);
  });

  it("leaves out what a candidate does not tell", () => {
    expect(alternate({ one: () => ({}) }, { rounds: 3, seconds: 60 })).toEqual({ one: {} });
  });
});

it("summarize tells the median, the tenth and the ninetieth percentile", () => {
  const samples = Array.from({ length: 11 }, (_, at) => 11 - at);
  expect(summarize(samples)).toEqual({ median: 6, low: 2, high: 10, samples: 11 });
});

describe("the section of README.md", () => {
  const readme = "a\n<!-- npm run bench -->\n\nold\n\n<!-- end of npm run bench -->\nz\n";

  it("is what is between its comments", () => {
    expect(withSection(readme, "new")).toBe(readme.replace("old", "new"));
    expect(withSection(withSection(readme, "new"), "new")).toBe(withSection(readme, "new"));
  });

  it("is not written where they are missing", () => {
    expect(() => withSection("nothing", "new")).toThrow("README.md lacks");
  });
});

describe("a process of the bench", () => {
  const sh = (script: string, input = "") =>
    ended([start({ program: "/bin/sh", argv: ["-c", script], env: { A: "b c" }, input })]).outcome;

  it("gets input, environment and four descriptors, and is told of in full", () => {
    expect(sh('read line; echo "$line $A"; echo warn >&2; echo told >&3; exit 3', "in\n")).toMatchObject({
      status: 3,
      stdout: "in b c\n",
      stderr: "warn\n",
      told: "told\n",
    });
  });

  it("that a signal ended has a negative status, and SIGPIPE ends it", () => {
    expect(sh("kill -PIPE $$")).toMatchObject({ status: -13 });
  });

  it("lasts until nobody holds its output: what it leaves behind counts", () => {
    expect(sh("(while kill -0 $$ 2>&-; do :; done; echo late) & echo soon")).toMatchObject({ stdout: "soon\nlate\n" });
  });
});
