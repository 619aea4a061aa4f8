import * as v from "valibot";
import { describe, expect, it } from "vitest";
import { read } from "../../../src/cni/check.ts";
import { address, addressOrCidr, cidr, dns, mac, path, route, uint32 } from "../../../src/cni/config.ts";
import { fold, type UnknownKey } from "../../../src/cni/fold.ts";

const schema = v.object({
  mtu: v.exactOptional(v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(65535))),
  isGateway: v.optional(v.boolean()),
  gateway: v.exactOptional(address),
  vlanTrunk: v.nullish(v.array(v.object({ minID: v.optional(v.number()), maxID: v.optional(v.number()) }))),
  mode: v.exactOptional(v.picklist(["a", "b"])),
  either: v.exactOptional(v.union([v.string(), v.object({ hostPort: v.number() })])),
  loose: v.exactOptional(v.looseObject({ Known: v.exactOptional(v.string()) })),
  list: v.exactOptional(v.nullable(v.array(v.string()))),
  piped: v.exactOptional(
    v.pipe(
      v.object({ sandboxKey: v.string() }),
      v.check(({ sandboxKey }) => sandboxKey !== "", "expected a key"),
    ),
  ),
});

describe("fold", () => {
  it.each([
    [{ MTU: 1400 }, { mtu: 1400 }],
    [{ mtu: 1, MTU: 2, Mtu: 3 }, { mtu: 3 }],
    [{ MTU: 2, mtu: 1 }, { mtu: 1 }],
    [{ mtu: 1, MTU: null }, { mtu: 1 }],
    [{ mtu: null, isgateway: true }, { isGateway: true }],
    [{ VLANTRUNK: [{ MinID: 1, MAXID: 2 }] }, { vlanTrunk: [{ minID: 1, maxID: 2 }] }],
    [{ vlanTrunk: null }, {}],
    [{ either: { HostPort: 80 } }, { either: { hostPort: 80 } }],
    [{ Either: "x" }, { either: "x" }],
    [{ loose: { known: "x", Other: 1 } }, { loose: { Known: "x", Other: 1 } }],
    [{ LIST: null }, { list: null }],
    [{ piped: { SANDBOXKEY: "x" } }, { piped: { sandboxKey: "x" } }],
    [{ gateway: "" }, {}],
    [{ mode: "" }, { mode: "" }],
    [{ Foo: { MTU: null } }, { Foo: { MTU: null } }],
    [{ vlanTrunk: "x" }, { vlanTrunk: "x" }],
  ])("%j becomes %j", (input, expected) => {
    expect(fold(schema, input)).toEqual(expected);
  });

  it("takes the last of several spellings in the order of the text", () => {
    expect(fold(schema, JSON.parse('{"MTU": 1, "mtu": 2, "Mtu": 3}'))).toEqual({ mtu: 3 });
  });

  it("lists the keys that no schema has, but not those of a loose object", () => {
    const unknown: UnknownKey[] = [];
    fold(schema, { Foo: 1, vlanTrunk: [{ minID: 1 }, { bar: "x" }], loose: { fine: 1 }, either: { zip: 0 } }, { unknown });
    expect(unknown).toEqual([
      { path: ["Foo"], value: 1 },
      { path: ["vlanTrunk", 1, "bar"], value: "x" },
      { path: ["either", "zip"], value: 0 },
    ]);
  });

  it("treats __proto__ as any other key", () => {
    const folded = fold(schema, JSON.parse('{"__proto__": {"mtu": 5}}')) as Record<string, unknown>;
    expect(folded.mtu).toBeUndefined();
    expect(Object.getPrototypeOf(folded)).toBe(Object.prototype);
  });
});

describe("read", () => {
  it.each([
    [{ mtu: "abc" }, '"mtu" is "abc": expected a number'],
    [{ MTU: "abc" }, '"mtu" is "abc": expected a number'],
    [{ mtu: 1.5 }, '"mtu" is 1.5: expected a whole number'],
    [{ mtu: -1 }, '"mtu" is -1: expected at least 0'],
    [{ mtu: 65536 }, '"mtu" is 65536: expected at most 65535'],
    [{ isGateway: "true" }, '"isGateway" is "true": expected true or false'],
    [{ gateway: "10.1.2" }, '"gateway" is "10.1.2": expected an IPv4 or IPv6 address'],
    [{ vlanTrunk: {} }, '"vlanTrunk" is {}: expected a list'],
    [{ vlanTrunk: [{}, { minID: "1" }] }, '"vlanTrunk[1].minID" is "1": expected a number'],
    [{ mode: "c" }, '"mode" is "c": expected "a" or "b"'],
    [{ either: 5 }, '"either" is 5: expected a string or an object'],
    [{ piped: {} }, '"piped.sandboxKey" is missing'],
    [{ piped: { sandboxKey: "" } }, '"piped" is {"sandboxKey":""}: expected a key'],
    [{ piped: [] }, '"piped" is []: expected an object'],
    [{ loose: ["x"] }, '"loose" is ["x"]: expected an object'],
    [{ mtu: "x".repeat(1000) }, `"mtu" is "${"x".repeat(79)}…: expected a number`],
  ])("refuses %j", (input, why) => {
    expect(() => read(schema, input)).toThrow(
      expect.objectContaining({ code: 7, message: `Cannot use network configuration: ${why}` }),
    );
  });

  it("names further faults in the details", () => {
    expect(() => read(schema, { mtu: "x", isGateway: 1 })).toThrow(
      expect.objectContaining({ message: expect.stringContaining('"mtu"'), details: '"isGateway" is 1: expected true or false' }),
    );
  });

  it("says what it reads, with another code", () => {
    expect(() => read(schema, { mtu: "x" }, { what: "result", code: 6 })).toThrow(
      expect.objectContaining({ code: 6, message: expect.stringMatching(/^Cannot use result: /) }),
    );
  });
});

describe("shapes", () => {
  const accepts = (shape: v.GenericSchema, value: unknown): boolean => v.safeParse(shape, value).success;

  it.each([
    [address, ["10.1.2.3", "fd00::3", "::ffff:10.1.2.3"], ["10.1.2.3/24", "10.1.2", "x", "", 5]],
    [cidr, ["10.1.2.3/24", "fd00::3/64", "0.0.0.0/0"], ["10.1.2.3", "10.1.2.3/33", "x/24", ""]],
    [addressOrCidr, ["10.1.2.3", "fd00::3/64"], ["", "x", "10.1.2.3/33"]],
    [mac, ["c2:11:22:33:44:55", "C2-11-22-33-44-55", "c211.2233.4455"], ["c2:11:22:33:44", "x", ""]],
    [path, ["/var/lib/x", "relative", ""], ["a\0b", 1]],
    [uint32, [0, 4294967295], [-1, 4294967296, 1.5, "1"]],
    [dns, [{}, { nameservers: ["10.1.2.1"], domain: "x", search: [], options: ["ndots:5"] }], [{ search: "x" }, null]],
    [
      route,
      [{ dst: "0.0.0.0/0" }, { dst: "fd00::/8", gw: "fd00::1", mtu: 1400, advmss: 1, priority: 0, table: 100, scope: 253 }],
      [{}, { dst: "10.1.2.3" }, { dst: "0.0.0.0/0", gw: "x" }, { dst: "0.0.0.0/0", scope: 256 }],
    ],
  ] as [v.GenericSchema, unknown[], unknown[]][])("shape %# takes what fits", (shape, right, wrong) => {
    expect(right.filter((value) => !accepts(shape, value))).toEqual([]);
    expect(wrong.filter((value) => accepts(shape, value))).toEqual([]);
  });
});
