import { execFileSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { shellWord } from "../../../src/support/shell-word.ts";

describe("shellWord", () => {
  it.each([
    ["1024", "1024"],
    ["4096 131072", "'4096 131072'"],
    ["it's", `'it'\\''s'`],
    ["", "''"],
  ])("%j", (text, expected) => expect(shellWord(text)).toBe(expected));

  it("is read by a shell as the text it was", { timeout: 30_000 }, () => {
    const texts = fc.sample(fc.string({ unit: "binary" }), 200).map((text) => text.replaceAll("\0", ""));
    const script = texts.map((text) => `printf '%s\\0' ${shellWord(text)}`).join("\n");
    const read = execFileSync("sh", { input: script, encoding: "utf8" }).split("\0").slice(0, -1);
    expect(read).toEqual(texts.map((text) => Buffer.from(text).toString()));
  });
});
