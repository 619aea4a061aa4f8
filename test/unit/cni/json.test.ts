import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseObject, quoteList, sortKeys } from "../../../src/cni/json.ts";
import { findFault, MAX_DEPTH } from "../../../src/cni/json-fault.ts";

describe("findFault", () => {
  it.each([
    ["", "the input is empty"],
    [" \n", "the input is empty"],
    ["hello", "unexpected 'h' at line 1, column 1, expected a value"],
    ["{a: 1}", "unexpected 'a' at line 1, column 2, expected a key in double quotes or '}'"],
    ['{"a" 1}', "unexpected '1' at line 1, column 6, expected ':'"],
    ['{"a": 1,}', "unexpected '}' at line 1, column 9, expected a key in double quotes"],
    ['{"a": 1\n "b": 2}', "unexpected '\"' at line 2, column 2, expected ',' or '}'"],
    ["[1,]", "unexpected ']' at line 1, column 4, expected a value"],
    ["[1}", "unexpected '}' at line 1, column 3, expected ',' or ']'"],
    ["{} {}", "unexpected '{' at line 1, column 4, expected nothing more"],
    ['{"a": {', "the input ends at line 1, column 8, expected a key in double quotes or '}'"],
    ['{"a": "x', "a string without end at line 1, column 7"],
    ['{"a": "\\x"}', "a wrong escape inside a string at line 1, column 8"],
    ['{"a": "x\ny"}', "a control character inside a string at line 1, column 9"],
    ["\ufffd{}", "unexpected U+FFFD at line 1, column 1, expected a value"],
    ["[01]", "unexpected '1' at line 1, column 3, expected ',' or ']'"],
    ["[".repeat(MAX_DEPTH + 1), `nested deeper than ${MAX_DEPTH} levels at line 1, column ${MAX_DEPTH + 1}`],
  ])("reports fault %#", (text, fault) => {
    expect(findFault(text)).toBe(fault);
  });

  it("finds none in any JSON", () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(findFault(text)).toBeUndefined();
      }),
    );
  });

  it("agrees with JSON.parse on damaged JSON", () => {
    const damaged = fc.tuple(
      fc.json(),
      fc.nat(),
      fc.constantFrom("", '"', "}", "]", ",", ":", "1", "\\", "e", " ", "-", "\t", "nul"),
    );
    fc.assert(
      fc.property(damaged, ([json, at, piece]) => {
        const cut = at % (json.length + 1);
        const text = json.slice(0, cut) + piece + json.slice(cut + 1);
        expect(findFault(text) === undefined).toBe(parses(text));
      }),
      { numRuns: 2000 },
    );
  });
});

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

describe("parseObject", () => {
  it.each([
    ["[]", "a list"],
    ["null", "null"],
    ['"x"', "a string"],
    ["12", "a number"],
    ["true", "a boolean"],
  ])("refuses %s", (text, found) => {
    expect(() => parseObject(Buffer.from(text), "network configuration")).toThrow(
      expect.objectContaining({ code: 6, message: `Cannot parse network configuration: expected an object, found ${found}` }),
    );
  });

  it("replaces invalid UTF-8", () => {
    expect(parseObject(Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]), "x")).toEqual({ "\ufffd": 1 });
  });

  it("reads a part of a larger buffer", () => {
    expect(parseObject(Buffer.from('xx{"a":1}yy').subarray(2, 9), "x")).toEqual({ a: 1 });
  });

  it.each([
    ["text", "garbage ".repeat(131072)],
    ["a string without end", `{"name": "${"x".repeat(1 << 20)}`],
    ["brackets", "[".repeat(1 << 20)],
    ["nested lists", "[".repeat(1 << 19) + "]".repeat(1 << 19)],
    ["escapes", `{"a": "${"\\u0041".repeat(150000)}\\q"}`],
  ])("answers 1 MB of %s shortly", (_name, text) => {
    let message = "";
    try {
      parseObject(Buffer.from(text), "network configuration");
    } catch (error) {
      message = (error as Error).message;
    }
    expect(message).toMatch(/^Cannot parse network configuration: .* at line \d+, column \d+/);
    expect(message.length).toBeLessThan(150);
  });

  it("repeats no garbage", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 200 }), (bytes) => {
        let message = "";
        try {
          parseObject(bytes, "x");
        } catch (error) {
          message = (error as Error).message;
        }
        expect(message.length).toBeLessThan(150);
      }),
    );
  });
});

describe("texts", () => {
  it("sorts keys at every level", () => {
    expect(JSON.stringify(sortKeys({ b: [{ d: 1, c: 2 }], a: null }))).toBe('{"a":null,"b":[{"c":2,"d":1}]}');
  });

  it("quotes a list as Go does", () => {
    expect(quoteList(["a", 'b"'])).toBe('["a" "b\\""]');
  });
});
