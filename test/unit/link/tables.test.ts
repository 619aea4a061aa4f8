import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isReservedTable, Tables } from "../../../src/link/tables.ts";

const using = (...tables: number[]) => tables.map((table) => ({ table })) as never;

describe("Tables", () => {
  it("gives the first that neither a rule nor a route nor anybody else uses, and none twice", () => {
    const tables = new Tables(using(100, 103), using(101, 254), [102]);
    expect([tables.take(100), tables.take(100), tables.take(1), tables.take(1)]).toEqual([104, 105, 1, 2]);
  });

  it("passes over the kernel's own, whether or not they are used", () => {
    const tables = new Tables([], []);
    expect([252, 252, 252].map((from) => tables.take(from))).toEqual([252, 256, 257]);
    expect([252, 253, 254, 255, 256].map(isReservedTable)).toEqual([false, true, true, true, false]);
  });

  it("gives only what is free, and nothing before the start", () => {
    const numbers = fc.array(fc.integer({ min: 90, max: 300 }));
    fc.assert(
      fc.property(numbers, numbers, fc.integer({ min: 90, max: 300 }), (rules, routes, from) => {
        const tables = new Tables(using(...rules), using(...routes));
        const taken = [tables.take(from), tables.take(from), tables.take(from)];
        expect(new Set(taken).size).toBe(3);
        for (const table of taken) {
          expect(table).toBeGreaterThanOrEqual(from);
          expect([...rules, ...routes, 253, 254, 255]).not.toContain(table);
        }
      }),
    );
  });
});
