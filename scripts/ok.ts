// What a change needs before it is committed, `npm run ok`: format, lint, types, dead code, lock file, schemas, unit tests.
import { runChecks } from "./lib/checks.ts";
import { runVitest } from "./lib/vitest.ts";

const checks = await runChecks();
const unit = runVitest("unit");
process.exitCode = checks.failed + unit.failed > 0 ? 1 : 0;
