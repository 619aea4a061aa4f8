import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join, relative } from "node:path";
import { cache, root } from "./paths.ts";

export interface Outcome {
  readonly passed: number;
  readonly failed: number;
  /** Tests that were not run, by `<file>: <full name>`. */
  readonly skipped: readonly string[];
  /** Tests that were, by the same. */
  readonly ran: readonly string[];
}

/** vitest's JSON report, as far as it is read here. */
interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

/** Runs vitest with its own report on the terminal; `projects` are names in vitest.config.ts, none for all. */
export function runVitest(...projects: readonly string[]): Outcome {
  const report = join(cache, "vitest.json");
  mkdirSync(cache, { recursive: true });
  rmSync(report, { force: true });
  const argv = vitestArguments({ projects, report });
  const { status } = spawnSync("vitest", argv, { cwd: root, stdio: ["ignore", "inherit", "inherit"] });
  return outcome(status, read(report));
}

/** @param options.only which tests, by full name; `report`: the file that `outcome` reads */
export function vitestArguments({
  projects = [],
  files = [],
  only,
  report,
}: {
  projects?: readonly string[];
  files?: readonly string[];
  only?: RegExp;
  report: string;
}): string[] {
  const chosen = projects.map((name) => `--project=${name}`);
  const named = only === undefined ? [] : [`--testNamePattern=${only.source}`];
  // What was transformed on this machine need not be so again on an emulated one
  const kept = ["--fsModuleCache", "--fsModuleCachePath=.cache/vitest"];
  return ["run", ...kept, ...chosen, ...named, "--reporter=default", "--reporter=json", `--outputFile.json=${report}`, ...files];
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
  const tests = files.flatMap(({ name, assertionResults }) =>
    assertionResults.map(({ status, fullName }) => ({ status, name: `${relative(root, name)}: ${fullName}` })),
  );
  const named = (...statuses: string[]) => tests.filter(({ status }) => statuses.includes(status)).map(({ name }) => name);
  const brokenFiles = files.filter(
    (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"),
  );
  const ran = named("passed", "failed");
  const failed = named("failed").length + brokenFiles.length;
  const clean = exitCode === 0 && tests.length > 0;
  return {
    passed: named("passed").length,
    failed: !clean && failed === 0 ? 1 : failed,
    skipped: tests.filter(({ status }) => status !== "passed" && status !== "failed").map(({ name }) => name),
    ran,
  };
}

/** What is skipped of two runs of the same tests: what was run in neither. */
export function skippedInBoth(first: Outcome, second: Outcome): string[] {
  const ran = new Set([...first.ran, ...second.ran]);
  return [...new Set([...first.skipped, ...second.skipped])].filter((name) => !ran.has(name));
}
