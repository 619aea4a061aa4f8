import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { makeDirectories } from "../../../src/support/directories.ts";

function temporary(): string {
  const directory = mkdtempSync("/tmp/podlink-test-");
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}

it("makes what is missing, with the mode, and does not mind what is there", () => {
  const path = join(temporary(), "a", "b");
  makeDirectories(path, 0o700);
  makeDirectories(path, 0o755);
  expect(statSync(path).mode & 0o777).toBe(0o700);
  expect(statSync(join(path, "..")).mode & 0o777).toBe(0o700);
});

it("comes to an end where the kernel denies that the parent exists", () => {
  expect(() => makeDirectories("/proc/podlink/x", 0o755)).toThrow("does not exist");
});

it("fails on a file in the way", () => {
  const file = join(temporary(), "file");
  writeFileSync(file, "");
  expect(() => makeDirectories(file, 0o755)).toThrow("EEXIST");
  expect(() => makeDirectories(join(file, "x"), 0o755)).toThrow("ENOTDIR");
});
