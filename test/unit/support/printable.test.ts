import { expect, it } from "vitest";
import { printable } from "../../../src/support/printable.ts";

it.each([
  ["as it is: ü, 漢, \u{1f600}", "as it is: ü, 漢, \u{1f600}"],
  ["two\n  lines", "two lines"],
  ["\u001b[2Jcleared\u0007", " [2Jcleared "],
  ["a\u009b31mb", "a 31mb"],
  ["good\u202edab", "good dab"],
  ["\u2028\u2029", " "],
  ["x\0y\u007f", "x y "],
])("%j becomes %j", (text, expected) => expect(printable(text)).toBe(expected));
