import { reason } from "../../../src/support/errors.ts";
import { type Outcome, outcome, vitestArguments } from "../vitest.ts";
import { cannotBoot } from "./host.ts";
import { getKernel, type Kernel, type KernelChoice } from "./kernel.ts";
import { type Ended, PROCESSORS, runInMachine } from "./machine.ts";
import type { Selection } from "./needing.ts";

/** What a test may take longer there: everything is emulated. Read by vitest.config.ts. */
const SLOW = 20;
const BOOTS = 3;

const nothing: Outcome = { passed: 0, failed: 0, skipped: [], ran: [] };

/**
 * Runs test files on a stock Debian kernel in a virtual machine. Where none can be booted, or none can be got, that is one skipped test
 * whose name says why.
 */
export async function testOn(
  choice: KernelChoice,
  { limitMinutes, ...selection }: Selection & { readonly limitMinutes: number },
): Promise<Outcome> {
  if (selection.files.length === 0) return nothing;
  let kernel: Kernel;
  try {
    const obstacle = cannotBoot();
    if (obstacle !== undefined) throw new Error(obstacle);
    kernel = await getKernel(choice);
  } catch (error) {
    const name = `tests on Debian's ${choice} kernel (${reason(error).split("\n")[0]})`;
    console.log(`Skipped: ${name}`);
    return { ...nothing, skipped: [name] };
  }
  console.log(`On Debian's ${choice} kernel ${kernel.release}, emulated:`);
  const start = Date.now();
  const all = summary(await boot(kernel, { ...selection, limitMinutes }), limitMinutes);
  const skipped = all.skipped.filter((name) => selection.only?.test(name) ?? true);
  const seconds = Math.round((Date.now() - start) / 1000);
  console.log(
    `On ${kernel.release}: ${all.passed} passed, ${all.failed} failed, ${skipped.length} skipped in ${seconds} seconds\n`,
  );
  return { ...all, skipped };
}

/** Boots again when the kernel, or qemu, fell over before the first test. */
async function boot(
  kernel: Kernel,
  { files, only, limitMinutes }: Selection & { readonly limitMinutes: number },
): Promise<Ended> {
  const result = "vitest.json";
  const environment = [`PODLINK_SLOW=${SLOW}`, "CI=true", "NO_COLOR=1"];
  const report = `/run/podlink-results/${result}`;
  const chosen = vitestArguments({ files, report, ...(only === undefined ? {} : { only }) });
  const argv = ["env", ...environment, "vitest", ...chosen, `--maxWorkers=${PROCESSORS}`];
  for (let left = BOOTS - 1; ; left--) {
    const ended = await runInMachine(kernel, { argv, result, limitMs: limitMinutes * 60_000 });
    if (left === 0 || ended.started || ended.timedOut || !isOops(ended.console)) return ended;
    console.log(`The kernel fell over before the first test; booting again`);
  }
}

function isOops(console: string): boolean {
  return /\bOops\b|Kernel panic|general protection fault|BUG: /.test(console);
}

/** A machine that did not come to its end is a failure beside those of the tests. */
function summary({ status, started, timedOut, result }: Ended, limitMinutes: number): Outcome {
  if (status === undefined) {
    const time = `did not end within ${limitMinutes} minutes`;
    const early = started ? "went down before the tests ended" : "went down before the first test";
    console.log(`FAILED  the virtual machine ${timedOut ? time : early}`);
  }
  return outcome(status ?? null, result === undefined ? undefined : JSON.parse(result));
}
