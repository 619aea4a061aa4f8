import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  classLength,
  domainName,
  maskLength,
  readAddress,
  readAddresses,
  readClasslessRoutes,
  readDomainSearch,
  readNumber,
  readStaticRoutes,
  readText,
  writeNumber,
} from "../../../src/dhcp/option-values.ts";
import { Address } from "../../../src/ip/address.ts";
import { hex } from "../../support/hex.ts";

type Routes = ReturnType<typeof readClasslessRoutes>;

function words(routes: Routes): string[] | undefined {
  return routes?.map(({ destination, gateway }) => `${destination} ${gateway ?? "link"}`);
}

function ascii(text: string): string {
  return Buffer.from(text).toString("hex");
}

describe("classless static routes (121)", () => {
  it("are RFC 3442's examples, cut to their length, on the link where the router is 0.0.0.0", () => {
    expect(words(readClasslessRoutes(hex("00 0a090001  10 0a14 0a090002  20 a9fea9fe 00000000")))).toEqual([
      "0.0.0.0/0 10.9.0.1",
      "10.20.0.0/16 10.9.0.2",
      "169.254.169.254/32 link",
    ]);
    expect(words(readClasslessRoutes(hex("19 81d26eff 01020304")))).toEqual(["129.210.110.128/25 1.2.3.4"]);
    expect(words(readClasslessRoutes(hex("08 0a 01020304")))).toEqual(["10.0.0.0/8 1.2.3.4"]);
  });

  it.each(["", "00", "00 0a0900", "21 0a090000ff 0a090001", "10 0a14 0a090002 08", "ff ff"])("of %j are none", (value) => {
    expect(readClasslessRoutes(hex(value))).toBeUndefined();
  });
});

describe("static routes (33)", () => {
  it("have the length of their class, or are hosts", () => {
    expect(words(readStaticRoutes(hex("0a000000 c0a80001  ac100000 c0a80002  c0000200 c0a80003  0a010203 c0a80004")))).toEqual([
      "10.0.0.0/8 192.168.0.1",
      "172.16.0.0/16 192.168.0.2",
      "192.0.2.0/24 192.168.0.3",
      "10.1.2.3/32 192.168.0.4",
    ]);
  });

  it("have no default route, no multicast and no route without router", () => {
    expect(readStaticRoutes(hex("00000000 0a090001  e0000000 0a090001  0a000000 00000000"))).toEqual([]);
  });

  it.each(["", "0a000000", "0a000000 0a0900"])("of %j are none", (value) => {
    expect(readStaticRoutes(hex(value))).toBeUndefined();
  });
});

describe("a search list (119)", () => {
  it("is read with its pointers, as dnsmasq and udhcpd write them", () => {
    const dnsmasq = `0161 07${ascii("example")} 03${ascii("org")} 00 0162 c002 c002`;
    expect(readDomainSearch(hex(dnsmasq))).toEqual(["a.example.org", "b.example.org", "example.org"]);
    const udhcpd = `0178 07${ascii("example")} 03${ascii("com")} 00 0179 07${ascii("example")} 03${ascii("com")} 00`;
    expect(readDomainSearch(hex(udhcpd))).toEqual(["x.example.com", "y.example.com"]);
  });

  it("leaves out what resolv.conf must not have, and repetitions", () => {
    const evil = `0c${ascii("a\nnameserver")} 00 0161 00 00 0161 00 03${ascii("a b")} 00 03${ascii("a.b")} 00`;
    expect(readDomainSearch(hex(evil))).toEqual(["a", "a.b"]);
  });

  it.each(["", "c000", "0161", "0161 c0", "0161 c001 c003 c002", "05 61", "8061", "0161 c000", "0161 c3ff"])(
    "of %j is none",
    (value) => {
      expect(readDomainSearch(hex(value))).toBeUndefined();
    },
  );

  it("of pointers upon pointers is given up early", () => {
    const pointers = Uint8Array.from({ length: 65_534 }, (_, i) =>
      i % 2 === 0 ? 0xc0 | ((Math.max(i - 2, 0) >> 8) % 64) : Math.max(i - 3, 0) & 255,
    );
    expect(readDomainSearch(pointers)).toBeUndefined();
  });

  it("of any bytes is usable names or nothing", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(0, 1, 2, 3, 0x61, 0x2e, 0xc0, 0xff), { maxLength: 60 }), (bytes) => {
        for (const name of readDomainSearch(Uint8Array.from(bytes)) ?? []) expect(name).toMatch(/^[\w-]+(\.[\w-]+)*$/);
      }),
    );
  });
});

describe("values", () => {
  it("of addresses come in fours", () => {
    expect(readAddresses(hex("0a090001 09090909"))?.map(String)).toEqual(["10.9.0.1", "9.9.9.9"]);
    expect(readAddresses(hex("0a0900"))).toBeUndefined();
    expect(readAddresses(hex(""))).toBeUndefined();
    expect(readAddresses(undefined)).toBeUndefined();
    expect(`${readAddress(hex("0a090001"))}`).toBe("10.9.0.1");
    expect(readAddress(hex("0a090001 09090909"))).toBeUndefined();
  });

  it("that are numbers have their size", () => {
    expect(readNumber(hex("00000078"), 4)).toBe(120);
    expect(readNumber(hex("ffffffff"), 4)).toBe(0xffffffff);
    expect(readNumber(hex("0578"), 2)).toBe(1400);
    expect(readNumber(hex("0578"), 4)).toBeUndefined();
    expect(readNumber(undefined, 1)).toBeUndefined();
    fc.assert(fc.property(fc.nat(0xffffffff), (value) => readNumber(writeNumber(value, 4), 4) === value));
  });

  it("that are text lose the NULs at their end", () => {
    expect(readText(Buffer.from("local\0\0"))).toBe("local");
    expect(readText(Buffer.from("\0"))).toBeUndefined();
    expect(readText(undefined)).toBeUndefined();
  });

  it.each([
    ["example.org", "example.org"],
    ["example.org.", "example.org"],
    [" local ", "local"],
    ["_ldap.a-b", "_ldap.a-b"],
    ["", undefined],
    [".", undefined],
    ["a..b", undefined],
    ["-a", undefined],
    ["a b", undefined],
    ["a\nnameserver 6.6.6.6", undefined],
    ["x".repeat(64), undefined],
    [`${"x.".repeat(127)}x`, undefined],
  ])("that are the domain %j read as %j", (text, name) => {
    expect(domainName(text)).toBe(name);
  });

  it.each([
    ["255.255.255.255", 32],
    ["255.255.255.0", 24],
    ["255.255.254.0", 23],
    ["128.0.0.0", 1],
    ["0.0.0.0", undefined],
    ["255.0.255.0", undefined],
    ["0.0.0.255", undefined],
  ])("that are the mask %s have length %j", (mask, length) => {
    expect(maskLength(Address.parse(mask))).toBe(length);
  });

  it.each([
    ["10.1.2.3", 8],
    ["127.0.0.1", 8],
    ["128.0.0.1", 16],
    ["191.255.0.1", 16],
    ["192.0.0.1", 24],
    ["223.1.1.1", 24],
    ["224.0.0.1", undefined],
  ])("of class: %s has %j", (address, length) => {
    expect(classLength(Address.parse(address))).toBe(length);
  });
});
