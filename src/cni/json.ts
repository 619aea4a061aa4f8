import { CniError, codes } from "./error.ts";
import { findFault, MAX_DEPTH } from "./json-fault.ts";

/** An object as JSON.parse made it. */
export type JsonObject = Record<string, unknown>;

/**
 * Reads the one JSON object of a request. Invalid UTF-8 becomes U+FFFD, as in Go.
 * @param what named in the error: `network configuration`
 * @throws CniError 6 that says why and where, and repeats at most one character of the input
 */
export function parseObject(bytes: Uint8Array, what: string): JsonObject {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");
  const value = parse(text, what);
  if (isObject(value)) return value;
  throw new CniError(codes.decodingFailure, `Cannot parse ${what}: expected an object, found ${kind(value)}`);
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function kind(value: unknown): string {
  return value === null ? "null" : Array.isArray(value) ? "a list" : `a ${typeof value}`;
}

function parse(text: string, what: string): unknown {
  const fault = (): CniError => new CniError(codes.decodingFailure, `Cannot parse ${what}: ${findFault(text)}`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw fault(); // V8's own message repeats part of the input and seldom says where
  }
  if (isDeeper(value, MAX_DEPTH)) throw fault();
  return value;
}

function isDeeper(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (levels === 0) return true;
  if (Array.isArray(value)) return value.some((item) => isDeeper(item, levels - 1));
  for (const key in value) if (isDeeper((value as JsonObject)[key], levels - 1)) return true;
  return false;
}

/** A copy with the keys of every object in alphabetical order. */
export function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sortKeys(value[key])]),
  );
}

/** A list as Go's `%q` prints it: `["a" "b"]`. */
export function quoteList(texts: readonly string[]): string {
  return `[${texts.map((text) => JSON.stringify(text)).join(" ")}]`;
}
