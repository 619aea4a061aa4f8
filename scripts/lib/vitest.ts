import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { cache, root } from "./paths.ts";

export interface Outcome {
  readonly passed: number;
  readonly failed: number;
  /** Full names of the tests that were not run. */
  readonly skipped: readonly string[];
}

/** vitest's JSON report, as far as it is read here. */
interface Report {
  readonly testResults: readonly {
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

/** Runs vitest with its own report on the terminal; `projects` are names in vitest.config.ts, none for all. */
export function runVitest(...projects: readonly string[]): Outcome {
  const file = join(cache, "vitest.json");
  mkdirSync(cache, { recursive: true });
  rmSync(file, { force: true });
  const chosen = projects.map((name) => `--project=${name}`);
  const argv = ["run", ...chosen, "--reporter=default", "--reporter=json", `--outputFile.json=${file}`];
  const { status } = spawnSync("vitest", argv, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  return outcome(status, read(file));
}

function read(file: string): Report | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch {
    return undefined; // vitest died before it could write
  }
}

/** Sums a report up; what failed outside of any test (a file that cannot be loaded, an error nobody caught, a crash, nothing run) counts as one failure. */
export function outcome(exitCode: number | null, report: Report | undefined): Outcome {
  const files = report?.testResults ?? [];
  const tests = files.flatMap((file) => file.assertionResults);
  const count = (status: string) => tests.filter((test) => test.status === status).length;
  const brokenFiles = files.filter(
    (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"),
  );
  const failed = count("failed") + brokenFiles.length;
  const skipped = tests.filter((test) => test.status !== "passed" && test.status !== "failed").map((test) => test.fullName);
  const clean = exitCode === 0 && tests.length > 0;
  return { passed: count("passed"), failed: !clean && failed === 0 ? 1 : failed, skipped };
}
