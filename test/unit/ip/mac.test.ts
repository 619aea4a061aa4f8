import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatMac, parseMac } from "../../../src/ip/mac.ts";

describe("MAC addresses", () => {
  it("are printed as they are parsed", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => {
        expect(parseMac(formatMac(bytes))).toEqual(bytes);
      }),
    );
  });

  it.each(["C2:11:22:33:44:0a", "c2-11-22-33-44-0A", "c211.2233.440a"])("%s is read", (text) => {
    expect(formatMac(parseMac(text))).toBe("c2:11:22:33:44:0a");
  });

  it.each([
    "",
    "c2:11:22:33:44",
    "c2:11:22:33:44:55:66",
    "c2:11-22:33:44:55",
    "c2:11:22:33:44:5g",
    "c211:2233:4455",
    "c21122334455",
  ])('refuses "%s"', (text) => {
    expect(() => parseMac(text)).toThrow(`Cannot parse MAC address "${text}"`);
  });
});
