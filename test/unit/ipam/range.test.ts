import fc from "fast-check";
import ipaddr from "ipaddr.js";
import { describe, expect, it } from "vitest";
import { Address } from "../../../src/ip/address.ts";
import { Range } from "../../../src/ipam/range.ts";

describe("a range", () => {
  it("fills in the reference's defaults", () => {
    const v4 = Range.make({ subnet: "10.1.2.0/24" });
    expect([String(v4), String(v4.gateway), v4.capacity]).toEqual(["10.1.2.1-10.1.2.254", "10.1.2.1", 253n]);
    const v6 = Range.make({ subnet: "2001:DB8::/120" });
    expect([String(v6), String(v6.gateway), v6.capacity]).toEqual(["2001:db8::1-2001:db8::ff", "2001:db8::1", 254n]);
    const mapped = Range.make({ subnet: "::ffff:10.1.2.0/120", rangeStart: "::ffff:10.1.2.9" });
    expect([String(mapped), mapped.family]).toEqual(["10.1.2.9-10.1.2.254", 4]);
  });

  it("takes an empty text for an absent one", () => {
    const range = Range.make({ subnet: "10.1.2.0/24", rangeStart: "", rangeEnd: "", gateway: "" });
    expect(String(range)).toBe("10.1.2.1-10.1.2.254");
  });

  it("allows a gateway outside of the subnet, which then costs no address", () => {
    const range = Range.make({ subnet: "10.1.2.0/30", gateway: "192.168.0.1" });
    expect([String(range.gateway), range.capacity]).toEqual(["192.168.0.1", 2n]);
  });

  it("never holds the network's own or the broadcast address", () => {
    expect(String(Range.make({ subnet: "10.1.2.0/24", rangeStart: "10.1.2.0", rangeEnd: "10.1.2.255" }))).toBe(
      "10.1.2.1-10.1.2.254",
    );
    expect(String(Range.make({ subnet: "fd00::/120", rangeStart: "fd00::", rangeEnd: "fd00::ff" }))).toBe("fd00::1-fd00::ff");
    const only = { subnet: "10.1.2.0/24", rangeStart: "10.1.2.255", rangeEnd: "10.1.2.255" };
    expect(() => Range.make(only)).toThrow("no address of 10.1.2.255-10.1.2.255 can be leased");
  });

  it.each([
    [{ subnet: "10.1.2.0" }, 'subnet "10.1.2.0" is not in CIDR notation'],
    [{ subnet: "10.1.2.0/31" }, "network 10.1.2.0/31 too small to allocate from: the longest prefix is /30"],
    [{ subnet: "fd00::/127" }, "network fd00::/127 too small to allocate from: the longest prefix is /126"],
    [{ subnet: "10.1.2.3/24" }, "network 10.1.2.3/24 has host bits set: for a mask of length 24 the network address is 10.1.2.0"],
    [{ subnet: "10.1.2.0/24", rangeStart: "10.1.3.1" }, "rangeStart 10.1.3.1 not in network 10.1.2.0/24"],
    [{ subnet: "10.1.2.0/24", rangeEnd: "10.1.3.1" }, "rangeEnd 10.1.3.1 not in network 10.1.2.0/24"],
    [{ subnet: "10.1.2.0/24", rangeStart: "fd00::1" }, "rangeStart fd00::1 not in network 10.1.2.0/24"],
    [{ subnet: "10.1.2.0/24", rangeStart: "10.1.2.9", rangeEnd: "10.1.2.8" }, "rangeStart 10.1.2.9 lies after rangeEnd 10.1.2.8"],
    [{ subnet: "10.1.2.0/24", rangeEnd: "10.1.2.300" }, 'rangeEnd "10.1.2.300" is not an IP address'],
    [{ subnet: "10.1.2.0/24", gateway: "nowhere" }, 'gateway "nowhere" is not an IP address'],
    [{ subnet: "10.1.2.0/24", gateway: "fd00::1" }, "gateway fd00::1 is not an IPv4 address"],
  ])("refuses %j", (spec, message) => {
    expect(() => Range.make(spec)).toThrow(new RangeError(message));
  });

  it("holds exactly the addresses of its subnet that ipaddr.js finds between its ends", () => {
    const host = fc.integer({ min: 1, max: 254 });
    fc.assert(
      fc.property(host, host, fc.nat(511), (a, b, probe) => {
        const [start, end] = [Math.min(a, b), Math.max(a, b)];
        const range = Range.make({ subnet: "10.1.2.0/24", rangeStart: `10.1.2.${start}`, rangeEnd: `10.1.2.${end}` });
        const text = `10.1.${2 + (probe >> 8)}.${probe & 255}`;
        const [, , third = 0, last = 0] = ipaddr.IPv4.parse(text).octets;
        expect(range.contains(Address.parse(text))).toBe(third === 2 && last >= start && last <= end);
        expect(range.capacity).toBe(BigInt(end - start + 1 - (start === 1 ? 1 : 0)));
      }),
    );
  });
});
