import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { defaultTiming } from "../../../src/dhcp/client-events.ts";
import { renewPause, retryPause } from "../../../src/dhcp/retry.ts";

describe("the pause after a question", () => {
  it("grows up to resendMax, a second more or less", () => {
    const pauses = (random: number): number[] =>
      [1, 2, 3, 4, 5, 6, 7, 8, 9, 50].map((tries) => retryPause(tries, { timing: defaultTiming, random: () => random }) / 1000);
    expect(pauses(0.5)).toEqual([2, 2, 2, 2, 4, 8, 16, 32, 62, 62]);
    expect(pauses(0)).toEqual([1, 1, 1, 1, 3, 7, 15, 31, 61, 61]);
    expect(pauses(0.75)).toEqual([2.5, 2.5, 2.5, 2.5, 4.5, 8.5, 16.5, 32.5, 62.5, 62.5]);
  });

  it("is never nothing, however short resendMax is", () => {
    const timing = { ...defaultTiming, resendMax: 100 };
    expect(retryPause(1, { timing, random: () => 0 })).toBe(50);
    expect(retryPause(9, { timing, random: () => 0.5 })).toBe(100);
  });
});

describe("the pause while renewing", () => {
  const hour = 3_600_000;

  it("is half of what is left, and a minute at least", () => {
    expect(renewPause(0, { since: 0, until: hour })).toBe(hour / 2);
    expect(renewPause(hour - 90_000, { since: 0, until: hour })).toBe(60_000);
    expect(renewPause(hour - 30_000, { since: 0, until: hour })).toBe(30_000);
  });

  it("of a short phase is a quarter of it at least", () => {
    expect(renewPause(5000, { since: 5000, until: 8750 })).toBe(1875);
    expect(renewPause(6875, { since: 5000, until: 8750 })).toBe(937.5);
    expect(renewPause(8700, { since: 5000, until: 8750 })).toBe(50);
    expect(renewPause(9000, { since: 5000, until: 8750 })).toBe(0);
  });

  it("reaches the phase's end in few steps", () => {
    fc.assert(
      fc.property(fc.nat(1e9), fc.double({ min: 0, max: 1, noNaN: true }), (length, part) => {
        let now = length * part;
        let steps = 0;
        while (now < length) {
          now += renewPause(now, { since: 0, until: length });
          expect(++steps).toBeLessThan(40);
        }
      }),
    );
  });
});
