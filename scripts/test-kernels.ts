// Tests on stock Debian kernels in virtual machines; scripts/test-kernels prepares what it needs. The last line is the sum of it.
import { existsSync } from "node:fs";
import { relative, resolve } from "node:path";
import { setup as getReference } from "../test/support/fetch-reference.ts";
import { lacking } from "../test/support/kernel-features.ts";
import { setup as getRuntimes } from "../test/support/runtimes/fetch.ts";
import type { KernelChoice } from "./lib/kernels/kernel.ts";
import { type Selection, selectionOf } from "./lib/kernels/needing.ts";
import { sample } from "./lib/kernels/sample.ts";
import { testOn } from "./lib/kernels/test-on.ts";
import { root } from "./lib/paths.ts";

const kernels: Readonly<Record<string, readonly KernelChoice[]>> = {
  stable: ["stable"],
  newest: ["newest"],
  all: ["stable", "newest"],
};

/** For each boot. */
const LIMIT_MINUTES = 60;

const [first = "all", ...rest] = process.argv.slice(2);
const chosen = kernels[first];
const named = (chosen === undefined ? [first, ...rest] : rest).map((path) => relative(root, resolve(path)));
const missing = named.find((path) => !existsSync(resolve(root, path)));
if (missing !== undefined) {
  console.error(`Cannot find the test file "${missing}"\nusage: scripts/test-kernels [stable|newest|all] [test file]...`);
  process.exit(2);
}
const selections: readonly Selection[] = named.length > 0 ? [{ files: named }] : [selectionOf(lacking()), sample];
// In the virtual machine there is no mirror
await getReference();
await getRuntimes();
const sum = { passed: 0, failed: 0, skipped: [] as string[] };
for (const choice of chosen ?? kernels.all ?? []) {
  for (const selection of selections) {
    const { passed, failed, skipped } = await testOn(choice, { ...selection, limitMinutes: LIMIT_MINUTES });
    sum.passed += passed;
    sum.failed += failed;
    sum.skipped.push(...skipped);
  }
}
if (sum.skipped.length > 0) console.log(`Skipped:\n${sum.skipped.map((name) => `  ${name}\n`).join("")}`);
console.log(`${sum.passed} passed, ${sum.failed} failed, ${sum.skipped.length} skipped`);
process.exitCode = sum.failed > 0 ? 1 : 0;
