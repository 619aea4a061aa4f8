import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Address } from "../../../src/ip/address.ts";
import { makeRangeSets, RangeSet } from "../../../src/ipam/range-set.ts";

/** Up to four ranges of 10.0.0.0/24 or fd00::/120 that do not overlap, in any order, with gateways inside and outside. */
const sets = fc
  .record({
    cuts: fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { minLength: 2, maxLength: 8 }),
    gateways: fc.array(fc.integer({ min: 1, max: 70 }), { minLength: 4, maxLength: 4 }),
    base: fc.constantFrom(
      { subnet: "10.0.0.0/24", at: (n: number) => `10.0.0.${n}` },
      { subnet: "fd00::/120", at: (n: number) => `fd00::${n.toString(16)}` },
    ),
    reversed: fc.boolean(),
  })
  .map(({ cuts, gateways, base, reversed }) => {
    const sorted = cuts.sort((a, b) => a - b);
    const ranges: { start: number; end: number; gateway: number }[] = [];
    for (let i = 0; i + 1 < sorted.length; i += 2) {
      ranges.push({ start: sorted[i] ?? 0, end: sorted[i + 1] ?? 0, gateway: gateways[i / 2] ?? 0 });
    }
    if (reversed) ranges.reverse();
    const specs = ranges.map(({ start, end, gateway }) => {
      return { subnet: base.subnet, rangeStart: base.at(start), rangeEnd: base.at(end), gateway: base.at(gateway) };
    });
    return { set: RangeSet.make(specs), ranges, at: base.at };
  });

/** Every address that can be leased, in the order a search from `last` must try them: written down naively. */
function model(ranges: readonly { start: number; end: number; gateway: number }[], last: number | undefined): number[] {
  const ring = ranges.flatMap(({ start, end, gateway }) => {
    return Array.from({ length: end - start + 1 }, (_, i) => ({ host: start + i, leased: start + i !== gateway }));
  });
  const at = ring.findIndex(({ host }) => host === last);
  return [...ring.slice(at + 1), ...ring.slice(0, at + 1)].filter(({ leased }) => leased).map(({ host }) => host);
}

describe("the search for a free address", () => {
  it("goes round in the order of a naive model, from any address, until all are used", () => {
    fc.assert(
      fc.property(sets, fc.option(fc.integer({ min: 1, max: 70 }), { nil: undefined }), ({ set, ranges, at }, last) => {
        const used = new Set<string>();
        const found: string[] = [];
        const start = last === undefined ? undefined : Address.parse(at(last));
        for (let next = set.nextFree(start, (name) => used.has(name)); next !== undefined; ) {
          found.push(String(next));
          used.add(String(next));
          next = set.nextFree(start, (name) => used.has(name));
        }
        expect(found).toEqual(model(ranges, last).map(at));
        expect(set.capacity).toBe(BigInt(found.length));
      }),
    );
  });

  it("finds the last free address wherever it is", () => {
    fc.assert(
      fc.property(sets, fc.nat(), fc.integer({ min: 1, max: 70 }), ({ set, ranges, at }, pick, last) => {
        const all = model(ranges, undefined).map(at);
        fc.pre(all.length > 0);
        const free = all[pick % all.length];
        expect(String(set.nextFree(Address.parse(at(last)), (name) => name !== free))).toBe(free);
      }),
    );
  });

  it("does not enumerate a large IPv6 range", () => {
    const set = RangeSet.make([{ subnet: "fd00::/8" }]);
    const used = new Set(Array.from({ length: 5000 }, (_, i) => `fd00::${(i + 2).toString(16)}`));
    let asked = 0;
    const next = set.nextFree(undefined, (name) => {
      asked++;
      return used.has(name);
    });
    expect(String(next)).toBe("fd00::138a");
    expect(asked).toBe(5001);
    expect(set.capacity).toBe(2n ** 120n - 2n);
  });
});

describe("making sets", () => {
  it.each([
    [[[]], "invalid range set 0: empty range set"],
    [[[{ subnet: "10.0.0.0/24" }, { subnet: "fd00::/64" }]], "invalid range set 0: mixed address families"],
    [
      [
        [
          { subnet: "10.0.0.0/24", rangeEnd: "10.0.0.9" },
          { subnet: "10.0.0.0/24", rangeStart: "10.0.0.9" },
        ],
      ],
      "invalid range set 0: ranges 10.0.0.1-10.0.0.9 and 10.0.0.9-10.0.0.254 overlap",
    ],
    [[[{ subnet: "10.0.0.0/24" }], [{ subnet: "10.1.0.0/24" }], [{ subnet: "10.0.0.0/16" }]], "range set 0 overlaps with 2"],
    [[[{ subnet: "10.0.0.0/24" }], [{ subnet: "10.1.0.1/24" }]], "invalid range set 1: network 10.1.0.1/24 has host bits set"],
  ])("refuses %j", (specs, message) => {
    expect(() => makeRangeSets(specs)).toThrow(RangeError);
    expect(() => makeRangeSets(specs)).toThrow(message);
  });

  it("allows neighbours, and prints them as the reference does", () => {
    const [set] = makeRangeSets([
      [
        { subnet: "10.0.0.0/24", rangeStart: "10.0.0.5", rangeEnd: "10.0.0.9" },
        { subnet: "10.0.0.0/24", rangeStart: "10.0.0.10", rangeEnd: "10.0.0.12" },
      ],
      [{ subnet: "10.0.1.0/24" }],
    ]);
    expect(String(set)).toBe("10.0.0.5-10.0.0.9,10.0.0.10-10.0.0.12");
  });

  it("tells what can be leased from what lies inside", () => {
    const set = RangeSet.make([{ subnet: "10.0.0.0/29" }]);
    const answers = (host: number) => [
      set.rangeOf(Address.parse(`10.0.0.${host}`)) !== undefined,
      set.leases(Address.parse(`10.0.0.${host}`)),
    ];
    expect([0, 1, 2, 6, 7].map(answers)).toEqual([
      [false, false],
      [true, false],
      [true, true],
      [true, true],
      [false, false],
    ]);
  });
});
