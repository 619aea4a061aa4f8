import { describe, expect, it } from "vitest";
import { root } from "../../../scripts/lib/paths.ts";
import { outcome, skippedInBoth } from "../../../scripts/lib/vitest.ts";

const test = (status: string, fullName = status) => ({ status, fullName });

const file = { name: `${root}/test/some.test.ts` };

describe("outcome", () => {
  it("counts the tests of all files and names the skipped ones", () => {
    const testResults = [
      { ...file, status: "passed", assertionResults: [test("passed", "one"), test("skipped", "vlan (needs a kernel with it)")] },
      { ...file, status: "failed", assertionResults: [test("passed", "two"), test("failed", "three")] },
    ];
    expect(outcome(1, { testResults })).toEqual({
      passed: 2,
      failed: 1,
      skipped: ["test/some.test.ts: vlan (needs a kernel with it)"],
      ran: ["test/some.test.ts: one", "test/some.test.ts: two", "test/some.test.ts: three"],
    });
  });

  it("counts a file that could not be loaded as a failure", () => {
    const testResults = [{ ...file, status: "failed", assertionResults: [] }];
    expect(outcome(1, { testResults })).toEqual({ passed: 0, failed: 1, skipped: [], ran: [] });
  });

  it("counts a bad end without a failed test as a failure", () => {
    const testResults = [{ ...file, status: "passed", assertionResults: [test("passed")] }];
    expect(outcome(1, { testResults }).failed).toBe(1);
    expect(outcome(null, { testResults }).failed).toBe(1);
  });

  it("counts a run that left no report, or ran nothing, as a failure", () => {
    expect(outcome(1, undefined)).toEqual({ passed: 0, failed: 1, skipped: [], ran: [] });
    expect(outcome(0, undefined).failed).toBe(1);
    expect(outcome(0, { testResults: [] }).failed).toBe(1);
  });
});

it("what is skipped in two runs is what ran in neither", () => {
  const of = (skipped: string[], ran: string[]) => ({ passed: ran.length, failed: 0, skipped, ran });
  expect(skippedInBoth(of(["a", "b"], ["c"]), of(["b", "c"], ["a"]))).toEqual(["b"]);
});
