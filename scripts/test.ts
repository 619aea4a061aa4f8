// All checks and all tests; scripts/test prepares what they need. The last line is `N passed, N failed, N skipped`.
import { checkBudgets, runChecks } from "./lib/checks.ts";
import { collectFaults, describeFaults } from "./lib/faults.ts";
import { usualSelection } from "./lib/kernels/needing.ts";
import { testOn } from "./lib/kernels/test-on.ts";
import { runVitest, skippedInBoth } from "./lib/vitest.ts";

/** It takes two to four. */
const LIMIT_MINUTES = 15;

const checks = await runChecks();
const budgetsHeld = await checkBudgets();
const faults = collectFaults(); // a sample: scripts/test-faults tries all of them
const here = runVitest("unit", "kernel", "e2e", "clients", "faults");
console.log(describeFaults(faults()));
// What this machine's kernel lacks, Debian's has
const elsewhere = await testOn("stable", { ...usualSelection(here.skipped), limitMinutes: LIMIT_MINUTES });
const skipped = skippedInBoth(here, elsewhere);
if (skipped.length > 0) console.log(`Skipped:\n${skipped.map((name) => `  ${name}\n`).join("")}`);
const passed = checks.passed + here.passed + elsewhere.passed + (budgetsHeld ? 1 : 0);
const failed = checks.failed + here.failed + elsewhere.failed + (budgetsHeld ? 0 : 1);
console.log(`${passed} passed, ${failed} failed, ${skipped.length} skipped`);
process.exitCode = failed > 0 ? 1 : 0;
