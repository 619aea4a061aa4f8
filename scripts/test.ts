// All checks and all tests; scripts/test prepares what they need. The last line is `N passed, N failed, N skipped`.
import { runChecks } from "./lib/checks.ts";
import { runVitest } from "./lib/vitest.ts";

const checks = await runChecks();
// Faults take longer: scripts/test-faults
const tests = runVitest("unit", "kernel", "e2e", "clients");
if (tests.skipped.length > 0) console.log(`Skipped:\n${tests.skipped.map((name) => `  ${name}\n`).join("")}`);
const failed = checks.failed + tests.failed;
console.log(`${checks.passed + tests.passed} passed, ${failed} failed, ${tests.skipped.length} skipped`);
process.exitCode = failed > 0 ? 1 : 0;
