import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { expect } from "vitest";
import type { Typed } from "../fake-shell.ts";
import { hostileBytes, hostileValue } from "./hostile.ts";
import { mutate, mutations, withDoubledKeys } from "./mutations.ts";
import { expectNoProgramError } from "./watched-host.ts";

/** The text of a file that was right once: a JSON value with changes, or bytes of it. */
export function damaged(sample: unknown, keys: readonly string[]): fc.Arbitrary<Uint8Array> {
  const changed = mutations(keys, { minLength: 1, maxLength: 4 }).map((changes) => mutate(sample, changes));
  const twice = fc.tuple(
    changed,
    fc.array(fc.tuple(fc.constantFrom("name", "__proto__", "plugins"), hostileValue), { maxLength: 1 }),
  );
  return fc.oneof(
    { weight: 3, arbitrary: twice.map(([value, more]) => Buffer.from(withDoubledKeys(value, more))) },
    { weight: 1, arbitrary: hostileBytes(fc.constant(JSON.stringify(sample, null, 2))) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 100 }) },
  );
}

/** What a person gets to see: lines, and nothing that a terminal would obey. */
export function expectHarmless({ exitCode, stdout, stderr }: Typed): void {
  expect([0, 1, 2]).toContain(exitCode);
  expectNoProgramError(stderr);
  expect(stderr).not.toContain("EROFS");
  for (const text of [stdout, stderr]) expect(text).not.toMatch(/(?![\n\t])[\p{Cc}\p{Cf}\u2028\u2029]/u);
}

/** Every file below a directory with what is in it. */
export function contents(directory: string): [path: string, text: string][] {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry): [string, string] => [
      join(entry.parentPath, entry.name),
      readFileSync(join(entry.parentPath, entry.name), "latin1"),
    ])
    .sort();
}
