// JSON.parse says what is wrong, repeats a part of the input and seldom says where; this says where.

/** Go's decoder stops at 10,000 levels; no configuration has twenty, and what recurses over one must not overflow the stack. */
export const MAX_DEPTH = 512;

/** What may stand at a place; `first` ones stand right after the opening bracket. */
type Expected = "value" | "first value" | "key" | "first key" | "colon" | "separator";

/** A place in the text, from 0. */
interface Cursor {
  readonly text: string;
  readonly at: number;
}

const literal = /true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;

/**
 * What keeps `text` from being JSON of at most MAX_DEPTH levels, with its place; undefined when nothing does.
 * The text repeats at most one character of the input.
 */
export function findFault(text: string): string | undefined {
  if (text.trim() === "") return "the input is empty";
  const closers: ("}" | "]")[] = [];
  let expected: Expected = "value";
  for (let at = skip({ text, at: 0 }, /[ \t\r\n]*/y); ; at = skip({ text, at }, /[ \t\r\n]*/y)) {
    const char = text[at] ?? "";
    const closer = closers.at(-1);
    if (char === "" && closer === undefined && expected === "separator") return undefined;
    if (char === closer && (expected === "separator" || expected.startsWith("first"))) {
      closers.pop();
      expected = "separator";
      at++;
    } else if (expected === "separator" && char === "," && closer !== undefined) {
      expected = closer === "}" ? "key" : "value";
      at++;
    } else if (expected === "colon" && char === ":") {
      expected = "value";
      at++;
    } else if (expected.endsWith("value") && (char === "{" || char === "[")) {
      closers.push(char === "{" ? "}" : "]");
      if (closers.length > MAX_DEPTH) return `nested deeper than ${MAX_DEPTH} levels at ${place({ text, at })}`;
      expected = char === "{" ? "first key" : "first value";
      at++;
    } else if (char === '"' && (expected.endsWith("key") || expected.endsWith("value"))) {
      const end = endOfString({ text, at });
      if (typeof end === "string") return end;
      expected = expected.endsWith("key") ? "colon" : "separator";
      at = end;
    } else {
      const end = expected.endsWith("value") ? skip({ text, at }, literal) : at;
      if (end === at) return unexpected({ text, at }, wanted(expected, closer));
      expected = "separator";
      at = end;
    }
  }
}

function skip({ text, at }: Cursor, token: RegExp): number {
  token.lastIndex = at;
  return token.test(text) ? token.lastIndex : at;
}

/** The index behind the string that starts there, or what is wrong with it. */
function endOfString({ text, at: start }: Cursor): number | string {
  for (let at = start + 1; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === 0x22) return at + 1;
    if (code < 0x20) return `a control character inside a string at ${place({ text, at })}`;
    if (code !== 0x5c) continue;
    const end = skip({ text, at }, /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y);
    if (end === at) return `a wrong escape inside a string at ${place({ text, at })}`;
    at = end - 1;
  }
  return `a string without end at ${place({ text, at: start })}`;
}

function unexpected({ text, at }: Cursor, wanted: string): string {
  const point = text.codePointAt(at);
  if (point === undefined) return `the input ends at ${place({ text, at })}, expected ${wanted}`;
  const printable = point > 0x20 && point < 0x7f;
  const found = printable ? `'${text[at]}'` : `U+${point.toString(16).toUpperCase().padStart(4, "0")}`;
  return `unexpected ${found} at ${place({ text, at })}, expected ${wanted}`;
}

function wanted(expected: Expected, closer: string | undefined): string {
  switch (expected) {
    case "value":
      return "a value";
    case "first value":
      return "a value or ']'";
    case "key":
      return "a key in double quotes";
    case "first key":
      return "a key in double quotes or '}'";
    case "colon":
      return "':'";
    case "separator":
      return closer === undefined ? "nothing more" : `',' or '${closer}'`;
  }
}

function place({ text, at }: Cursor): string {
  const before = text.slice(0, at);
  return `line ${before.split("\n").length}, column ${at - before.lastIndexOf("\n")}`;
}
