import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { adoptNodeCaches } from "../../../scripts/lib/node-caches.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const flags = ["--no-sparkplug", "--single-threaded"];

/** Loads two of Node's modules that are not in its snapshot, and tells which were compiled without their cache. */
const compiled = `
  const { internalBinding } = require("internal/test/binding");
  for (const name of ["node:ffi", "node:vm"]) require(name);
  const { compiledWithCache, compiledWithoutCache } = internalBinding("builtins").getCacheUsage();
  console.log(JSON.stringify({ with: [...compiledWithCache], without: [...compiledWithoutCache] }));
`;

function compiledBy(node: string): unknown {
  const argv = [...flags, "--no-warnings", "--expose-internals", "--eval", compiled];
  return JSON.parse(execFileSync(node, argv, { encoding: "utf8" }));
}

it("Node's own code caches are taken under the flags they are marked with, and refused before", async () => {
  const node = join(temporaryDirectory(), "node");
  copyFileSync(process.execPath, node);
  const modules = expect.arrayContaining(["ffi", "vm"]);
  expect(compiledBy(node)).toEqual({ with: [], without: modules });
  expect(await adoptNodeCaches(node, flags)).toBeGreaterThan(100);
  expect(compiledBy(node)).toEqual({ with: modules, without: [] });
});

it("an executable without code caches is left as it was, and named", async () => {
  const path = join(temporaryDirectory(), "none");
  writeFileSync(path, "no caches");
  await expect(adoptNodeCaches(path, flags)).rejects.toThrow(/Cannot find code caches of Node .*none/);
  expect(readFileSync(path, "utf8")).toBe("no caches");
});
