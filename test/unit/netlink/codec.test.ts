import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Address } from "../../../src/ip/address.ts";
import {
  be16,
  be32,
  be32Signed,
  be64,
  bool8,
  bytes,
  type Codec,
  choose,
  flag,
  i32,
  ip,
  mac,
  named,
  text,
  u8,
  u16,
  u32,
  u64,
} from "../../../src/netlink/codec.ts";
import { hex, toHex } from "../../support/hex.ts";

interface Row {
  readonly name: string;
  readonly codec: Codec<unknown>;
  readonly value: unknown;
  readonly wire: string;
}

function row<T>(name: string, codec: Codec<T>, pair: { value: T; wire: string }): Row {
  return { name, codec: codec as Codec<unknown>, ...pair };
}

const rows: readonly Row[] = [
  row("u8", u8, { value: 0xc2, wire: "c2" }),
  row("u16", u16, { value: 0x1234, wire: "3412" }),
  row("u32", u32, { value: 0xdeadbeef, wire: "efbeadde" }),
  row("i32", i32, { value: -2, wire: "feffffff" }),
  row("u64", u64, { value: 0x0102030405060708n, wire: "0807060504030201" }),
  row("be16", be16, { value: 0x1234, wire: "1234" }),
  row("be32", be32, { value: 0xdeadbeef, wire: "deadbeef" }),
  row("be32Signed", be32Signed, { value: -100, wire: "ffffff9c" }),
  row("be64", be64, { value: 0x0102030405060708n, wire: "0102030405060708" }),
  row("a named number", named(be32, { drop: 0, accept: 1 }), { value: "accept", wire: "00000001" }),
  row("a number without a name", named(be32, { drop: 0, accept: 1 }), { value: 7, wire: "00000007" }),
  row("bool8 on", bool8, { value: true, wire: "01" }),
  row("bool8 off", bool8, { value: false, wire: "00" }),
  row("text", text, { value: "eth0", wire: "6574683000" }),
  row("empty text", text, { value: "", wire: "00" }),
  row("text beyond ASCII", text, { value: "é", wire: "c3a900" }),
  row("flag", flag, { value: true, wire: "" }),
  row("MAC", mac, { value: "c2:11:22:33:44:55", wire: "c21122334455" }),
  row("IPv4", ip, { value: Address.parse("10.1.2.3"), wire: "0a010203" }),
  row("IPv6", ip, { value: Address.parse("fd00::1"), wire: "fd000000000000000000000000000001" }),
  row("bytes", bytes, { value: Uint8Array.of(1, 2, 3), wire: "010203" }),
];

describe("codecs of single values", () => {
  it.each(rows)("$name is $wire", ({ codec, value, wire }) => {
    expect(toHex(codec.encode(value))).toBe(wire);
    expect(codec.decode(hex(wire))).toEqual(value);
  });

  it.each([
    { name: "u8", codec: u8, size: 1 },
    { name: "u16", codec: u16, size: 2 },
    { name: "u32", codec: u32, size: 4 },
    { name: "i32", codec: i32, size: 4 },
    { name: "u64", codec: u64, size: 8 },
    { name: "be16", codec: be16, size: 2 },
    { name: "be32", codec: be32, size: 4 },
  ])("$name says how many bytes it has and how many it needs", ({ codec, size }) => {
    expect(() => codec.decode(new Uint8Array(size - 1))).toThrow(new RangeError(`${size - 1} bytes, expected ${size}`));
  });

  it("refuses numbers that do not fit", () => {
    expect(() => u8.encode(256)).toThrow(RangeError);
    expect(() => u16.encode(-1)).toThrow(RangeError);
    expect(() => u32.encode(2 ** 32)).toThrow(RangeError);
  });

  it("reads text up to the first NUL, and without any to the end", () => {
    expect(text.decode(hex("61 62 00 63 00"))).toBe("ab");
    expect(text.decode(hex("61 62"))).toBe("ab");
    expect(text.decode(new Uint8Array())).toBe("");
  });

  it("reads any byte but 0 as true", () => {
    expect(bool8.decode(Uint8Array.of(2))).toBe(true);
  });

  it("reads link addresses of other lengths and writes MACs only", () => {
    expect(mac.decode(hex("0a000001"))).toBe("0a:00:00:01");
    expect(() => mac.encode("0a:00:00:01")).toThrow('Cannot parse MAC address "0a:00:00:01"');
  });

  it("reads addresses of 4 and 16 bytes only", () => {
    expect(() => ip.decode(new Uint8Array(5))).toThrow("5 bytes, expected 4 or 16");
  });

  it("copies bytes, since the buffer they came in is used again", () => {
    const received = Uint8Array.of(1, 2, 3);
    const kept = bytes.decode(received);
    received.fill(0);
    expect(kept).toEqual(Uint8Array.of(1, 2, 3));
  });

  it("reads values out of the middle of a larger buffer", () => {
    const datagram = hex("ffff 78563412 ffff");
    expect(u32.decode(datagram.subarray(2, 6))).toBe(0x12345678);
    expect(text.decode(hex("ff 6100 ff").subarray(1, 3))).toBe("a");
  });

  it("reads back every number it writes", () => {
    fc.assert(fc.property(fc.integer({ min: 0, max: 0xffffffff }), (value) => u32.decode(u32.encode(value)) === value));
    fc.assert(fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => u64.decode(u64.encode(value)) === value));
    fc.assert(fc.property(fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }), (value) => i32.decode(i32.encode(value)) === value));
  });
});

describe("choose", () => {
  const chosen = choose("kind", { number: u32, word: text });

  it("takes the codec that the sibling names", () => {
    expect(chosen.decode(hex("07000000"), { kind: "number" })).toBe(7);
    expect(chosen.decode(hex("6100"), { kind: "word" })).toBe("a");
    expect(toHex(chosen.encode("a", { kind: "word" }))).toBe("6100");
  });

  it("keeps bytes as they are where no codec is named", () => {
    expect(chosen.decode(hex("0102"), { kind: "other" })).toEqual(Uint8Array.of(1, 2));
    expect(chosen.decode(hex("0102"))).toEqual(Uint8Array.of(1, 2));
    expect(toHex(chosen.encode(Uint8Array.of(1, 2), { kind: "other" }))).toBe("0102");
  });
});
