import { describe, expect, it } from "vitest";
import { align4, attributePathAt, attributes, listed, messageFormat, repeated, struct } from "../../../src/netlink/attributes.ts";
import { flag, text, u8, u16, u32 } from "../../../src/netlink/codec.ts";
import { hex, toHex } from "../../support/hex.ts";

const inner = attributes({ port: [1, "INNER_PORT", u16] });
const table = attributes({
  name: [3, "OUTER_NAME", text],
  size: [4, "OUTER_SIZE", u32],
  nest: [5, "OUTER_NEST", inner],
  set: [6, "OUTER_SET", flag],
  list: [7, "OUTER_LIST", repeated(2, "OUTER_ELEMENT", struct({ flags: u16, id: u16 }))],
});

describe("attributes", () => {
  it("writes the table's order, pads to four bytes and marks nests", () => {
    const wire = table.encode({ set: true, nest: { port: 80 }, size: 7, name: "ab", list: [{ flags: 6, id: 10 }] });
    expect(toHex(wire)).toBe(
      toHex(
        hex(`
          0700 0300 61620000      # name with its NUL, one byte of padding
          0800 0400 07000000
          0c00 0580               # NLA_F_NESTED
            0600 0100 50000000
          0400 0600
          0c00 0780
            0800 0200 06000a00
        `),
      ),
    );
  });

  it("reads what it writes", () => {
    const value = { name: "ab", size: 7, nest: { port: 80 }, set: true as const, list: [{ flags: 6, id: 10 }] };
    expect(table.decode(table.encode(value))).toEqual(value);
  });

  it("reads nests without NLA_F_NESTED, as older parts of the kernel send them", () => {
    expect(table.decode(hex("0c00 0500 0600 0100 50000000"))).toEqual({ nest: { port: 80 } });
  });

  it("does not write what is absent or undefined", () => {
    expect(toHex(table.encode({ name: undefined, size: 1 }))).toBe("0800040001000000");
    expect(toHex(table.encode({}))).toBe("");
  });

  it("writes false, zero and the empty text", () => {
    expect(toHex(table.encode({ name: "", size: 0 }))).toBe("0500030000000000" + "0800040000000000");
  });

  it("keeps attributes it does not know, on every level, through decoding and encoding", () => {
    const wire = hex(`
      0800 0400 07000000
      1400 0580
        0600 0100 50000000
        0700 6300 01020300
      0900 4d80 0102030405 000000
    `);
    const value = table.decode(wire);
    expect(value).toEqual({
      size: 7,
      nest: { port: 80, unknownAttributes: [{ type: 99, data: Uint8Array.of(1, 2, 3) }] },
      unknownAttributes: [{ type: 0x804d, data: Uint8Array.of(1, 2, 3, 4, 5) }],
    });
    expect(toHex(table.encode(value))).toBe(toHex(wire));
  });

  it("copies attributes it does not know out of the receive buffer", () => {
    const received = hex("0800 6300 01020304");
    const { unknownAttributes } = table.decode(received);
    received.fill(0);
    expect(unknownAttributes).toEqual([{ type: 99, data: Uint8Array.of(1, 2, 3, 4) }]);
  });

  it("names the attribute that cannot be read, from the outermost in", () => {
    expect(() => table.decode(hex("0700 0400 01020300"))).toThrow(
      new RangeError("Cannot decode OUTER_SIZE: 3 bytes, expected 4"),
    );
    expect(() => table.decode(hex("0c00 0580 0500 0100 50000000"))).toThrow(
      new RangeError("Cannot decode OUTER_NEST: Cannot decode INNER_PORT: 1 bytes, expected 2"),
    );
    expect(() => table.decode(hex("0a00 0780 0600 0200 06000000"))).toThrow(
      new RangeError("Cannot decode OUTER_LIST: Cannot decode OUTER_ELEMENT: 0 bytes, expected 2"),
    );
  });

  it("names the attribute that cannot be written", () => {
    expect(() => table.encode({ nest: { port: 70_000 } })).toThrow(/^Cannot encode OUTER_NEST: Cannot encode INNER_PORT: /);
  });

  it("refuses one that is longer than its length can say", () => {
    expect(() => table.encode({ name: "x".repeat(65_535) })).toThrow("it has 65540 bytes, 65535 at most");
  });

  it("takes the last of an attribute that stands there twice", () => {
    expect(table.decode(hex("0800 0400 01000000 0800 0400 02000000"))).toEqual({ size: 2 });
  });
});

describe("the walk over attributes", () => {
  const walk = (bytes: Uint8Array) => attributes({}).decode(bytes).unknownAttributes;

  it("refuses lengths that cannot be and says where", () => {
    expect(() => walk(hex("0800 0400 07000000 0300 0400"))).toThrow(
      new RangeError("Cannot read an attribute at byte 8: length 3 of 4 bytes left"),
    );
    expect(() => walk(hex("0900 0400 07000000"))).toThrow(
      new RangeError("Cannot read an attribute at byte 0: length 9 of 8 bytes left"),
    );
    expect(() => walk(new Uint8Array(8))).toThrow("length 0 of 8 bytes left");
  });

  it("does without the padding of the last attribute and ignores less than a header", () => {
    expect(walk(Uint8Array.from(hex("0500 0400 07")))).toEqual([{ type: 4, data: Uint8Array.of(7) }]);
    expect(walk(hex("0500 0400 07 000000 0400"))).toHaveLength(1);
  });
});

describe("repeated", () => {
  const list = repeated(2, "ELEMENT", u32);

  it("keeps the order and skips elements of other types", () => {
    expect(toHex(list.encode([1, 2]))).toBe("0800020001000000" + "0800020002000000");
    expect(list.decode(hex("0800 0200 01000000 0600 0100 ffff0000 0800 0200 02000000"))).toEqual([1, 2]);
  });
});

describe("struct", () => {
  const pair = struct({ first: u8, second: u16 });

  it("writes zero for fields left out", () => {
    expect(pair.size).toBe(3);
    expect(toHex(pair.encode({ second: 0x0102 }))).toBe("000201");
    expect(pair.decode(hex("050201"))).toEqual({ first: 5, second: 0x0102 });
  });

  it("refuses too few bytes", () => {
    expect(() => pair.decode(hex("0502"))).toThrow(RangeError);
  });
});

describe("messageFormat", () => {
  const format = messageFormat({ family: u8, id: u16 }, { size: [4, "SIZE", u32] });

  it("pads the header to four bytes before the attributes", () => {
    const wire = format.encode({ family: 2, id: 3, size: 4 });
    expect(toHex(wire)).toBe("02030000" + "0800040004000000");
    expect(format.decode(wire)).toEqual({ family: 2, id: 3, size: 4 });
  });

  it("reads a header alone, and refuses less", () => {
    expect(format.decode(hex("020300"))).toEqual({ family: 2, id: 3 });
    expect(() => format.decode(hex("0203"))).toThrow(new RangeError("2 bytes, expected at least 3"));
  });
});

describe("align4", () => {
  it.each([
    [0, 0],
    [1, 4],
    [4, 4],
    [5, 8],
  ])("%i becomes %i", (length, aligned) => {
    expect(align4(length)).toBe(aligned);
  });
});

describe("listed", () => {
  const list = attributes({ texts: [1, "TEXTS", listed("TEXT", text)], nests: [2, "NESTS", listed("NEST", inner)] });

  it("numbers what it writes from 1 on, and marks nests", () => {
    expect(toHex(list.encode({ texts: ["a", "b"], nests: [{ port: 1 }] }))).toBe(
      toHex(hex("1400 0180  0600 0100 61000000  0600 0200 62000000   1000 0280  0c00 0180 0600 0100 01000000")),
    );
  });

  it("reads all, whatever their numbers", () => {
    expect(list.decode(hex("1400 0180  0600 0700 61000000  0600 0700 62000000"))).toEqual({ texts: ["a", "b"] });
  });

  it("names what it cannot read", () => {
    expect(() => list.decode(hex("0c00 0280  0800 0180 03000100"))).toThrow(/^Cannot decode NESTS: Cannot decode NEST: /);
  });
});

describe("attributePathAt", () => {
  const wire = table.encode({ name: "ab", size: 7, nest: { port: 80 } });

  it("finds the attribute that begins at an offset, with all it stands in", () => {
    expect(attributePathAt(wire, 0)).toEqual([{ type: 3, index: 0 }]);
    expect(attributePathAt(wire, 8)).toEqual([{ type: 4, index: 1 }]);
    expect(attributePathAt(wire, 16)).toEqual([{ type: 5, index: 2 }]);
    expect(attributePathAt(wire, 20)).toEqual([
      { type: 5, index: 2 },
      { type: 1, index: 0 },
    ]);
  });

  it("finds none beyond the end", () => {
    expect(attributePathAt(wire, wire.length)).toEqual([]);
  });
});
