import { explainSteps } from "../runtime/explain.ts";
import type { Steps } from "../support/steps.ts";
import type { Input, Option } from "./command.ts";
import type { Shell } from "./shell.ts";

export const explainOption: Option = {
  text: "print on stderr each change made to this machine, as a command for a shell, with the time it took",
};

/**
 * Runs the work of a command; with `--explain`, and also when it fails, what it did is printed then. What is told on stderr meanwhile
 * becomes a comment, so that the whole can be given to a shell.
 */
export function explained(
  { switches, shell, steps }: { switches: Input["switches"]; shell: Shell; steps: Steps },
  work: (shell: Shell) => void,
): void {
  if (!switches.has("explain")) {
    work(shell);
    return;
  }
  try {
    work({ ...shell, err: (text) => shell.err(text.replaceAll(/^(?=.)/gm, "# ")) });
  } finally {
    shell.err(explainSteps(steps.list));
  }
}
