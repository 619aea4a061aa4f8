import fc from "fast-check";
import { expect, it } from "vitest";
import { formatUtc, now } from "../../../src/support/clock.ts";

it("tells a time as Date does", () => {
  const times = fc.integer({ min: 0, max: Date.UTC(9999, 11, 31, 23, 59, 59, 999) });
  fc.assert(fc.property(times, (ms) => formatUtc(ms) === new Date(ms).toISOString()));
  for (const day of ["2000-02-29", "2100-02-28", "2100-03-01", "2024-12-31", "1970-01-01"]) {
    expect(formatUtc(Date.parse(day))).toBe(`${day}T00:00:00.000Z`);
  }
});

it("counts milliseconds that never go back", () => {
  const before = now();
  expect(now()).toBeGreaterThanOrEqual(before);
});
