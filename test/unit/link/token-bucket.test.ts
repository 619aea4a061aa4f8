import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatBucket, sameBucket, tokenBucket } from "../../../src/link/token-bucket.ts";

const limits = fc.record({ rate: fc.integer({ min: 1, max: 2 ** 40 }), burst: fc.integer({ min: 1, max: 2 ** 32 - 2 }) });

describe("tokenBucket", () => {
  it.each([
    // as the reference's plugin, version 1.9.1, sets them
    { limit: { rate: 1_000_000, burst: 100_000 }, bucket: { rate: 1_000_000, limit: 125_000, buffer: 1_562_500 } },
    { limit: { rate: 2_000_000, burst: 200_000 }, bucket: { rate: 2_000_000, limit: 250_000, buffer: 1_562_500 } },
    { limit: { rate: 1_234_567, burst: 98_765 }, bucket: { rate: 1_234_567, limit: 129_629, buffer: 1_249_984 } },
  ])("of $limit.rate bytes/s and $limit.burst bytes", ({ limit, bucket }) => {
    expect(tokenBucket(limit)).toEqual(bucket);
  });

  it("lets no more wait than the kernel can be told", () => {
    expect(tokenBucket({ rate: 2 ** 37, burst: 2 ** 32 - 2 }).limit).toBe(2 ** 32 - 1);
  });

  it("holds burst and 25 ms of packets, and a burst's time in 64 ns", () => {
    fc.assert(
      fc.property(limits, ({ rate, burst }) => {
        const { limit, buffer } = tokenBucket({ rate, burst });
        expect(limit).toBe(Math.min(2 ** 32 - 1, burst + Math.floor(rate / 40)));
        const ticks = (burst / rate) * (1e9 / 64);
        expect(buffer).toBeLessThanOrEqual(ticks * (1 + Number.EPSILON * 4));
        expect(buffer).toBeGreaterThan(ticks * (1 - Number.EPSILON * 4) - 17); // a microsecond and a tick
      }),
    );
  });
});

describe("sameBucket", () => {
  it("tells any two apart that differ in what the kernel shows exactly", () => {
    const bucket = tokenBucket({ rate: 1_000_000, burst: 100_000 });
    expect(sameBucket(bucket, { ...bucket })).toBe(true);
    expect(sameBucket(bucket, { ...bucket, rate: bucket.rate + 1 })).toBe(false);
    expect(sameBucket(bucket, { ...bucket, limit: bucket.limit + 1 })).toBe(false);
    expect(sameBucket(bucket, { ...bucket, buffer: bucket.buffer + 1 })).toBe(false);
  });

  it("compares the lowest 32 bits of a time that has more, with some slack for rounding", () => {
    const bucket = tokenBucket({ rate: 125_000, burst: 2 ** 29 - 1 });
    expect(bucket.buffer).toBeGreaterThan(2 ** 32);
    const shown = bucket.buffer % 2 ** 32;
    for (const buffer of [shown, shown - 20, shown + 20]) expect(sameBucket(bucket, { ...bucket, buffer })).toBe(true);
    for (const buffer of [shown - 1000, shown + 1000]) expect(sameBucket(bucket, { ...bucket, buffer })).toBe(false);
    // around the point where the 32 bits are full
    const edge = { ...bucket, buffer: 3 * 2 ** 32 + 2 };
    expect(sameBucket(edge, { ...bucket, buffer: 2 ** 32 - 5 })).toBe(true);
    expect(sameBucket(edge, { ...bucket, buffer: 2 ** 31 })).toBe(false);
  });

  it("recognises what is as wanted, whatever it is", () => {
    fc.assert(
      fc.property(limits, (limit) => {
        const bucket = tokenBucket(limit);
        return sameBucket(bucket, { ...bucket, buffer: bucket.buffer % 2 ** 32 });
      }),
    );
  });
});

describe("formatBucket", () => {
  it("gives tc's words, the burst in bytes", () => {
    expect(formatBucket(tokenBucket({ rate: 1_000_000, burst: 100_000 }))).toBe("rate 8000000bit burst 100000 limit 125000");
  });
});
