import { describe, expect, it } from "vitest";
import { outcome } from "../../../scripts/lib/vitest.ts";

const test = (status: string, fullName = status) => ({ status, fullName });

describe("outcome", () => {
  it("counts the tests of all files and names the skipped ones", () => {
    const testResults = [
      { status: "passed", assertionResults: [test("passed"), test("skipped", "vlan (needs a kernel with it)")] },
      { status: "failed", assertionResults: [test("passed"), test("failed")] },
    ];
    expect(outcome(1, { testResults })).toEqual({ passed: 2, failed: 1, skipped: ["vlan (needs a kernel with it)"] });
  });

  it("counts a file that could not be loaded as a failure", () => {
    const testResults = [{ status: "failed", assertionResults: [] }];
    expect(outcome(1, { testResults })).toEqual({ passed: 0, failed: 1, skipped: [] });
  });

  it("counts a bad end without a failed test as a failure", () => {
    const testResults = [{ status: "passed", assertionResults: [test("passed")] }];
    expect(outcome(1, { testResults }).failed).toBe(1);
    expect(outcome(null, { testResults }).failed).toBe(1);
  });

  it("counts a run that left no report, or ran nothing, as a failure", () => {
    expect(outcome(1, undefined)).toEqual({ passed: 0, failed: 1, skipped: [] });
    expect(outcome(0, undefined).failed).toBe(1);
    expect(outcome(0, { testResults: [] }).failed).toBe(1);
  });
});
