// All that test/faults can try; scripts/test-faults prepares what it needs. The last lines are the sum of it.
import { collectFaults, describeFaults } from "./lib/faults.ts";
import { runVitest } from "./lib/vitest.ts";

const faults = collectFaults({ all: true });
const { failed, passed, skipped } = runVitest("faults");
console.log(describeFaults(faults()));
if (skipped.length > 0) console.log(`Skipped:\n${skipped.map((name) => `  ${name}\n`).join("")}`);
console.log(`${passed} passed, ${failed} failed, ${skipped.length} skipped`);
process.exitCode = failed > 0 ? 1 : 0;
