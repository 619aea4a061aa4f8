import fc from "fast-check";
import ipaddr from "ipaddr.js";
import { describe, expect, it } from "vitest";
import { Address } from "../../../src/ip/address.ts";

// ipaddr.js is the oracle: another author's reading of the same RFCs.

const v4Value = fc.bigInt({ min: 0n, max: 2n ** 32n - 1n });
const v6Value = fc
  .array(fc.oneof(fc.constant(0), fc.constant(0xffff), fc.nat(0xffff)), { minLength: 8, maxLength: 8 })
  .map((groups) => groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n))
  .filter((value) => value >> 32n !== 0xffffn); // IPv4-mapped ones become IPv4
const anyAddress = fc.oneof(
  v4Value.map((value) => new Address(4, value)),
  v6Value.map((value) => new Address(6, value)),
);

describe("parsing", () => {
  it("reads IPv4 as ipaddr.js does", () => {
    fc.assert(
      fc.property(fc.ipV4(), (text) => {
        const address = Address.parse(text);
        expect(address.family).toBe(4);
        expect([...address.toBytes()]).toEqual(ipaddr.IPv4.parse(text).toByteArray());
      }),
    );
  });

  it("reads IPv6 in every way of writing as ipaddr.js does", () => {
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        // ipaddr.js takes ::1.2.3.4 for an IPv4-mapped address; RFC 4291, section 2.5.5.1, and Go do not
        fc.pre(!/^::[0-9.]+$/.test(text));
        const expected = ipaddr.IPv6.parse(text);
        const bytes = expected.isIPv4MappedAddress() ? expected.toIPv4Address().toByteArray() : expected.toByteArray();
        expect([...Address.parse(text).toBytes()]).toEqual(bytes);
      }),
    );
  });

  it("agrees with ipaddr.js on what is an IPv6 address at all", () => {
    const piece = fc.oneof(
      fc.constantFrom(":", "::", ".", "0", "1.2.3.4", "ffff", "12345", "g", "fe80"),
      fc.string({ maxLength: 2 }),
    );
    const colon = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(""));
    fc.assert(
      fc.property(
        colon.filter((text) => text.includes(":") && !text.includes("%")),
        (text) => {
          // ipaddr.js reads dotted tails with leading zeros, which mean octal to some and decimal to others; we refuse them
          fc.pre(!/(^|[.:])0[0-9]+(\.|$)/.test(text));
          expect(Address.tryParse(text) !== undefined, text).toBe(ipaddr.IPv6.isValid(text));
        },
      ),
      { numRuns: 2000 },
    );
  });

  it.each([
    ["::ffff:10.1.2.3", "10.1.2.3"],
    ["::FFFF:0a01:0203", "10.1.2.3"],
    ["2001:DB8:0:0:0:0:0:1", "2001:db8::1"],
    ["::1.2.3.4", "::102:304"],
    ["64:ff9b::10.1.2.3", "64:ff9b::a01:203"],
  ])("reads %s as %s", (text, canonical) => {
    expect(Address.parse(text).toString()).toBe(canonical);
  });

  it.each([
    ["", "nothing"],
    ["10.1.2", "three parts"],
    ["10.1.2.3.4", "five parts"],
    ["10.1.2.256", "a part too large"],
    ["010.1.2.3", "a leading zero"],
    ["10.1.2.3 ", "a space"],
    ["10.1.2.0x3", "hexadecimal"],
    ["167838211", "a single number"],
    ["10.1.2.3/24", "a prefix length"],
    [":", "one colon"],
    [":::", "three colons"],
    ["1::2::3", "two gaps"],
    ["1:2:3:4:5:6:7", "seven groups"],
    ["1:2:3:4:5:6:7:8:9", "nine groups"],
    ["1:2:3:4:5:6:7:8::", "a gap for nothing"],
    ["fe80::1%eth0", "a zone"],
    ["::12345", "a group too long"],
    ["::1.2.3", "half an IPv4 tail"],
    ["1.2.3.4::", "an IPv4 head"],
    ["[::1]", "brackets"],
  ])('refuses "%s": %s', (text) => {
    expect(Address.tryParse(text)).toBeUndefined();
    expect(() => Address.parse(text)).toThrow(`Cannot parse address "${text}"`);
  });
});

describe("printing", () => {
  it("writes RFC 5952 as ipaddr.js does", () => {
    fc.assert(
      fc.property(v6Value, (value) => {
        const address = new Address(6, value);
        expect(address.toString()).toBe(new ipaddr.IPv6([...address.toBytes()]).toRFC5952String());
      }),
    );
  });

  it("is undone by parsing", () => {
    fc.assert(
      fc.property(anyAddress, (address) => {
        expect(Address.parse(address.toString()).equals(address)).toBe(true);
        expect(Address.fromBytes(address.toBytes()).equals(address)).toBe(true);
      }),
    );
  });

  // RFC 5952 sections 4.2.2 and 4.2.3: no gap for a single group, the longest one, the first of equals
  it.each([
    [[0x2001, 0xdb8, 0, 1, 1, 1, 1, 1], "2001:db8:0:1:1:1:1:1"],
    [[0x2001, 0, 0, 1, 0, 0, 0, 1], "2001:0:0:1::1"],
    [[0x2001, 0xdb8, 0, 0, 1, 0, 0, 1], "2001:db8::1:0:0:1"],
    [[0, 0, 0, 0, 0, 0, 0, 0], "::"],
    [[1, 0, 0, 0, 0, 0, 0, 0], "1::"],
    [[0, 0, 0, 0, 0, 0, 0, 1], "::1"],
  ])("writes %j as %s", (groups, text) => {
    expect(
      new Address(
        6,
        groups.reduce((value, group) => (value << 16n) | BigInt(group), 0n),
      ).toString(),
    ).toBe(text);
  });
});

describe("arithmetic", () => {
  it("orders and adds like the numbers", () => {
    fc.assert(
      fc.property(v6Value, v6Value, (a, b) => {
        const [left, right] = [new Address(6, a), new Address(6, b)];
        expect(Math.sign(left.compare(right))).toBe(a < b ? -1 : a > b ? 1 : 0);
        expect(left.plus(b - a).equals(right)).toBe(true);
      }),
    );
  });

  it("does not leave its family", () => {
    expect(() => Address.parse("255.255.255.255").plus(1n)).toThrow(RangeError);
    expect(() => Address.parse("::").plus(-1n)).toThrow(RangeError);
    expect(Address.parse("0.0.0.1").equals(Address.parse("::1"))).toBe(false);
    expect(Address.parse("255.255.255.255").compare(Address.parse("::"))).toBeLessThan(0);
  });

  it("refuses byte strings of other lengths", () => {
    expect(() => Address.fromBytes(new Uint8Array(5))).toThrow("5 bytes, expected 4 or 16");
  });
});
