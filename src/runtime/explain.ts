import type { Report } from "../cni/handle.ts";
import { formatUtc } from "../support/clock.ts";
import { appendLine } from "../support/log.ts";
import type { Step } from "../support/steps.ts";

/**
 * Changes as a script that `sh -e` can run, each with the time it took in a comment. What failed is a comment as a whole: it changed
 * nothing, or the call went on without it.
 */
export function explainSteps(steps: readonly Step[]): string {
  return steps.map((step) => `${explainStep(step)}\n`).join("");
}

/**
 * Appends what a call did to the file that `PODLINK_EXPLAIN` names, if it did anything. A file that cannot be written is nobody's failure.
 * @param env the call's environment
 */
export function explainCall(report: Report, env: Readonly<Record<string, string | undefined>>): void {
  const path = env.PODLINK_EXPLAIN ?? "";
  if (path === "" || report.steps.length === 0) return;
  const script = `# ${formatUtc(Date.now())} ${describe(report)}\n${explainSteps(report.steps)}`;
  appendLine(script, { path, maxBytes: Number.POSITIVE_INFINITY });
}

function explainStep({ command, ms, error }: Step): string {
  const time = `${ms.toFixed(2)} ms`;
  if (error !== undefined) return `${comment(command)}  # failed after ${time}: ${oneLine(error)}`;
  // behind the end of a here document there is room for nothing
  return command.includes("\n") ? `${command}\n# ${time}` : `${command}  # ${time}`;
}

/** `bridge ADD, network "demo", container "4f1c…", interface "eth0", pod "default/web": 12.30 ms` */
function describe({ type, command, network, containerId, ifname, pod, ms, error }: Report): string {
  const parts = Object.entries({ network, container: containerId, interface: ifname, pod });
  const known = parts.flatMap(([what, value]) => (value === undefined ? [] : [`, ${what} ${JSON.stringify(value)}`]));
  const failed = error === undefined ? "" : `, failed: ${oneLine(error.msg)}`;
  return `${type} ${command}${known.join("")}: ${ms.toFixed(2)} ms${failed}`;
}

function comment(command: string): string {
  return command.replaceAll(/^(?!#)/gm, "# ");
}

/** So that no part of a comment becomes a command. */
function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, " ");
}
