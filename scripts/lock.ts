// Completes package-lock.json after every `npm install` that rewrites it: `npm run lock`. With --check it only fails when something is to do.
//
// A registry that does not serve every platform's optional binary makes npm leave those out of the lock, and then npm 11's
// `npm ci` refuses it ("EUSAGE … Missing: @biomejs/cli-… from lock file"). Each one left out gets an entry that matches no platform.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { missingOptionals } from "./lib/lockfile.ts";
import { root } from "./lib/paths.ts";

const file = join(root, "package-lock.json");
const lock = JSON.parse(readFileSync(file, "utf8"));
const missing = missingOptionals(lock.packages);
if (process.argv.includes("--check")) {
  if (missing.length > 0) throw new Error(`package-lock.json lacks ${missing.length} optional packages: npm run lock`);
} else if (missing.length > 0) {
  for (const { name, version } of missing) {
    lock.packages[`node_modules/${name}`] = { version, optional: true, os: ["none"], cpu: ["none"] };
  }
  lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
  console.log(`package-lock.json: ${missing.length} optional packages added`);
}
