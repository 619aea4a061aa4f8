import fc from "fast-check";
import ipaddr from "ipaddr.js";
import { describe, expect, it } from "vitest";
import { Address } from "../../../src/ip/address.ts";
import { Prefix } from "../../../src/ip/prefix.ts";

type Oracle = ipaddr.IPv4 | ipaddr.IPv6;

/** Addresses that share long beginnings, so that most pairs are near each other. */
const v4 = fc.tuple(fc.constantFrom(0x0a000000, 0x0a0000ff, 0xffffffff), fc.nat(0xffff)).map(([base, bits]) => {
  return new Address(4, BigInt((base ^ bits) >>> 0));
});
const v6 = fc
  .tuple(fc.constantFrom(0xfdn << 120n, 2n ** 128n - 1n), fc.bigInt({ min: 0n, max: 2n ** 70n }))
  .map(([base, bits]) => {
    return new Address(6, base ^ bits);
  });
const v4Prefix = fc.tuple(v4, fc.nat(32)).map(([address, length]) => new Prefix(address, length));
const v6Prefix = fc.tuple(v6, fc.nat(128)).map(([address, length]) => new Prefix(address, length));
const anyAddress = fc.oneof(v4, v6);
const anyPrefix = fc.oneof(v4Prefix, v6Prefix);

function oracle(address: Address): Oracle {
  return ipaddr.fromByteArray([...address.toBytes()]);
}

function matches(address: Address, prefix: Prefix): boolean {
  return address.family === prefix.family && oracle(address).match(oracle(prefix.address), prefix.length);
}

describe("a prefix", () => {
  it("contains what ipaddr.js matches", () => {
    fc.assert(
      fc.property(anyPrefix, anyAddress, (prefix, address) => {
        expect(prefix.contains(address)).toBe(matches(address, prefix));
      }),
    );
  });

  it("overlaps another when either holds the other's first address", () => {
    fc.assert(
      fc.property(anyPrefix, anyPrefix, (a, b) => {
        expect(a.overlaps(b)).toBe(matches(a.first(), b) || matches(b.first(), a));
        expect(a.overlaps(b)).toBe(b.overlaps(a));
      }),
    );
  });

  it("has the ends that ipaddr.js computes", () => {
    fc.assert(
      fc.property(v4Prefix, (prefix) => {
        expect(prefix.first().toString()).toBe(ipaddr.IPv4.networkAddressFromCIDR(prefix.toString()).toString());
        expect(prefix.last().toString()).toBe(ipaddr.IPv4.broadcastAddressFromCIDR(prefix.toString()).toString());
      }),
    );
    fc.assert(
      fc.property(v6Prefix, (prefix) => {
        expect(prefix.first().toString()).toBe(ipaddr.IPv6.networkAddressFromCIDR(prefix.toString()).toRFC5952String());
        expect(prefix.last().toString()).toBe(ipaddr.IPv6.broadcastAddressFromCIDR(prefix.toString()).toRFC5952String());
      }),
    );
  });

  it("keeps its host bits through printing and parsing, and loses them as a network", () => {
    fc.assert(
      fc.property(anyPrefix, (prefix) => {
        expect(Prefix.parse(prefix.toString()).equals(prefix)).toBe(true);
        expect(prefix.network().address.equals(prefix.first())).toBe(true);
        expect(prefix.network().length).toBe(prefix.length);
      }),
    );
  });
});

describe("parsing", () => {
  it.each([
    ["10.1.2.3/24", "10.1.2.3/24"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["FD00::1/64", "fd00::1/64"],
    ["::ffff:10.1.2.3/120", "10.1.2.3/24"],
  ])("reads %s as %s", (text, canonical) => {
    expect(Prefix.parse(text).toString()).toBe(canonical);
  });

  it.each([
    "10.1.2.3",
    "10.1.2.3/",
    "10.1.2.3/33",
    "10.1.2.3/024",
    "10.1.2.3/-1",
    "10.1.2.3/24/8",
    "fd00::/129",
    "/24",
    "::ffff:10.1.2.3/24",
  ])('refuses "%s"', (text) => {
    expect(Prefix.tryParse(text)).toBeUndefined();
    expect(() => Prefix.parse(text)).toThrow(`Cannot parse prefix "${text}"`);
  });

  it("makes host prefixes", () => {
    expect(Prefix.host(Address.parse("10.1.2.3")).toString()).toBe("10.1.2.3/32");
    expect(Prefix.host(Address.parse("fd00::3")).toString()).toBe("fd00::3/128");
    expect(() => new Prefix(Address.parse("10.1.2.3"), 33)).toThrow(RangeError);
  });
});
