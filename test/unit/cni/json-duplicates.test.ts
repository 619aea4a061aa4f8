import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { duplicateKeys } from "../../../src/cni/json-duplicates.ts";

describe("duplicateKeys", () => {
  it.each<[text: string, path: string[], expected: string[]]>([
    ['{"a": 1, "b": 2}', [], []],
    ['{"a": 1, "a": 2, "a": 3, "b": 1, "b": 2}', [], ["a", "b"]],
    ['{"a": {"x": 1, "x": 2}}', [], []],
    ['{"a": {"x": 1, "x": 2}}', ["a"], ["x"]],
    ['{"A": {"x": 1}, "a": {"x": 2}}', ["a"], ["x"]],
    ['{"a": {"x": {"x": 1}}, "b": {"x": 1}}', ["a"], []],
    ['{"a": [{"x": 1}, {"x": 2}]}', ["a"], []],
    ['{"a": [{"a": {"x": 1, "x": 1}}]}', ["a"], []],
    ['{"s": {"net.a": "{\\"net.a\\"", "net\\u002ea": ","}}', ["s"], ["net.a"]],
    ['{"s": {"\\"": 1, "\\\\": 2, "\\"": 3}}', ["s"], ['"']],
    ['{"s": {"X": 1, "x": 2}}', ["s"], []],
    ['{"s": [], "t": {}, "a": {"b": {"k": true, "k": null}}}', ["a", "b"], ["k"]],
  ])("%s at %j: %j", (text, path, expected) => expect(duplicateKeys(text, path)).toEqual(expected));

  it("finds none in what JSON.stringify writes, at whatever place", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.array(fc.constantFrom("a", "b", "")), (value, path) => {
        // keys that differ in case alone lead to one place
        const text = JSON.stringify(value, (_key, inner) => inner).toLowerCase();
        let again: unknown;
        try {
          again = JSON.parse(text);
        } catch {
          return true;
        }
        return duplicateKeys(JSON.stringify(again), path).length === 0;
      }),
    );
  });

  it("takes no longer for a key of a megabyte", () => {
    const long = "x\\\\".repeat(300_000);
    expect(duplicateKeys(`{"${long}": 1, "b": 2, "b": 3}`, [])).toEqual(["b"]);
  });
});
