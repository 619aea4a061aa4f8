import { reason } from "../../src/support/errors.ts";
import { root } from "./paths.ts";
import { run } from "./run.ts";

/** What must hold of the source before a test runs; each is a program that exits with 0. */
const checks: Readonly<Record<string, readonly [string, ...string[]]>> = {
  "format and lint": ["biome", "check", "--error-on-warnings", "--colors=off", "."],
  types: ["tsc"],
  "dead code": ["knip", "--no-progress"],
  "lock file": ["node", "scripts/lock.ts", "--check"],
  schemas: ["node", "--disable-warning=ExperimentalWarning", "scripts/schemas.ts", "--check"],
};

/** Runs all checks at once, prints one line for each and what the failed ones said; answers how many failed. */
export async function runChecks(): Promise<{ passed: number; failed: number }> {
  const outcomes = await Promise.all(Object.entries(checks).map(([name, argv]) => check(name, argv)));
  const passed = outcomes.filter(Boolean).length;
  return { passed, failed: outcomes.length - passed };
}

/** Whether what is built keeps to its budgets (scripts/lib/bench/budgets.ts); alone, as it compares processor times. */
export function checkBudgets(): Promise<boolean> {
  return check("budgets", ["node", "--disable-warning=ExperimentalWarning", "scripts/bench.ts", "--quick"]);
}

async function check(name: string, argv: readonly [string, ...string[]]): Promise<boolean> {
  try {
    await run(argv, { cwd: root });
    console.log(`ok      ${name}`);
    return true;
  } catch (error) {
    console.log(`FAILED  ${name}\n${reason(error)}`);
    return false;
  }
}
