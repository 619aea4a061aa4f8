import { type BaseIssue, type GenericSchema, safeParse } from "valibot";
import { reason } from "../support/errors.ts";
import { CniError, codes, excerpt } from "./error.ts";
import { fold, formatPath, type UnknownKey } from "./fold.ts";
import type { JsonObject } from "./json.ts";

/** Faults named in `details` beside the one in the message. */
const MAX_FURTHER = 10;

export interface ReadOptions {
  /** What the error calls the input; `network configuration` unless given. */
  readonly what?: string;
  /** Code of the error, 7 unless given. */
  readonly code?: number;
  /** Takes the keys that the schema does not have (fold.ts). */
  readonly unknown?: UnknownKey[];
}

/**
 * Folds the keys of `value` to the schema's spelling and checks it.
 * @throws CniError that names the key, its value and what was expected; further faults stand in `details`
 */
export function read<T>(schema: GenericSchema<unknown, T>, value: JsonObject, options: ReadOptions = {}): T {
  const { what = "network configuration", code = codes.invalidConfig, unknown = [] } = options;
  let folded: unknown;
  try {
    folded = fold(schema, value, { unknown });
  } catch (error) {
    throw new CniError(code, `Cannot use ${what}: ${reason(error)}`, { cause: error });
  }
  const parsed = safeParse(schema, folded);
  if (parsed.success) return parsed.output;
  const [first = "", ...others] = parsed.issues.map(describe);
  const details = others.slice(0, MAX_FURTHER).join("; ");
  throw new CniError(code, `Cannot use ${what}: ${first}`, details === "" ? {} : { details });
}

function describe(issue: BaseIssue<unknown>): string {
  const path = JSON.stringify(formatPath((issue.path ?? []).map((item) => item.key as string | number)));
  if (issue.input === undefined) return `${path} is missing`;
  // valibot's own words start so; any other message is one that a schema of ours gives
  if (!issue.message.startsWith("Invalid ")) return `${path} is ${excerpt(issue.input)}: ${issue.message}`;
  return `${path} is ${excerpt(issue.input)}: expected ${expectation(issue)}`;
}

const words: Readonly<Record<string, string>> = {
  string: "a string",
  number: "a number",
  boolean: "true or false",
  integer: "a whole number",
  Object: "an object",
  Array: "a list",
  null: "null",
};

function expectation(issue: BaseIssue<unknown>): string {
  if (issue.expected === null) return words[issue.type] ?? `another value (${issue.type})`;
  const parts = issue.expected
    .replace(/^\(|\)$/g, "")
    .split(" | ")
    .filter((part) => part !== "undefined");
  return parts.map((part) => words[part] ?? part.replace(/^>=/, "at least ").replace(/^<=/, "at most ")).join(" or ");
}
