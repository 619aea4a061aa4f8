import { describe, expect, it } from "vitest";
import { Steps } from "../../../src/support/steps.ts";

describe("Steps", () => {
  it("records changes in order and hands on what they answer", () => {
    const steps = new Steps();
    expect(steps.run("ip link add a", () => 1)).toBe(1);
    expect(steps.run("ip link add b", () => 2)).toBe(2);
    expect(steps.list).toEqual([
      { command: "ip link add a", ms: expect.any(Number) },
      { command: "ip link add b", ms: expect.any(Number) },
    ]);
  });

  it("records a change that failed, and lets its error through as it is", () => {
    const steps = new Steps();
    const error = new RangeError("no such link");
    const change = () => {
      throw error;
    };
    expect(() => steps.run("ip link del a", change)).toThrow(error);
    expect(steps.list).toEqual([{ command: "ip link del a", ms: expect.any(Number), error: "RangeError: no such link" }]);
  });

  it("records a change only when it is over: one inside another comes first", () => {
    const steps = new Steps();
    steps.run("outer", () => steps.run("inner", () => undefined));
    expect(steps.list.map(({ command }) => command)).toEqual(["inner", "outer"]);
  });
});
