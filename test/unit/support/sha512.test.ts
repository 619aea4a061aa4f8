import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { sha512 } from "../../../src/support/sha512.ts";

const oracle = (text: string): string => createHash("sha512").update(text, "utf8").digest("hex");

describe("sha512", () => {
  it.each([
    // FIPS 180-4's examples begin so
    { text: "abc", start: "ddaf35a193617aba" },
    { text: "", start: "cf83e1357eefb8bd" },
  ])("of $text", ({ text, start }) => expect(sha512(text).slice(0, 16)).toBe(start));

  it("is node:crypto's for texts of every length around a block's end", () => {
    for (let length = 100; length < 260; length++) expect(sha512("x".repeat(length))).toBe(oracle("x".repeat(length)));
  });

  it("is node:crypto's for any text", () => {
    fc.assert(fc.property(fc.string({ unit: "grapheme", maxLength: 300 }), (text) => sha512(text) === oracle(text)));
  });
});
