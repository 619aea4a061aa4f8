import { toCniError } from "../cni/error.ts";
import { printable } from "../support/printable.ts";
import { add } from "./add.ts";
import { check } from "./check.ts";
import { type Command, helpOf, parseInput, UsageError } from "./command.ts";
import { del } from "./del.ts";
import { dhcp } from "./dhcp.ts";
import { gc } from "./gc.ts";
import { makeHelp } from "./help.ts";
import { install } from "./install.ts";
import { list } from "./list.ts";
import { logs } from "./logs.ts";
import type { Shell } from "./shell.ts";
import { status } from "./status.ts";
import { uninstall } from "./uninstall.ts";
import { version } from "./version.ts";

/** In the order in which help lists them. */
const commands: readonly Command[] = [add, del, check, gc, status, list, logs, install, uninstall, dhcp, version];

/** What people try before they read. */
const aliases: Readonly<Record<string, string>> = {
  "-h": "help",
  "--help": "help",
  "-V": "version",
  "-v": "version",
  "--version": "version",
  delete: "del",
  ls: "list",
};

/**
 * Runs the command that was typed.
 * @returns exit code: 0 done, 1 failed (one line on stderr, the way out on a second one), 2 not understood; of a command that
 * goes on for some time, a promise of it
 */
export function runCommand(shell: Shell): number | Promise<number> {
  const [first = "help", ...rest] = shell.argv;
  const name = aliases[first] ?? first;
  const command = [...commands, makeHelp(commands)].find((one) => one.name === name);
  if (command === undefined) {
    shell.err(`podlink: Unknown command "${printable(first)}"\nRun "podlink help" for the commands there are\n`);
    return 2;
  }
  const fail = (error: unknown) => tell(error, { name, shell });
  try {
    const input = parseInput(command, command.rewrite?.(rest) ?? rest);
    if (input.switches.has("help")) {
      shell.out(helpOf(command));
      return 0;
    }
    return command.run(input, shell)?.then(() => 0, fail) ?? 0;
  } catch (error) {
    return fail(error);
  }
}

function tell(error: unknown, { name, shell }: { name: string; shell: Shell }): number {
  if (error instanceof UsageError) {
    shell.err(`podlink ${name}: ${printable(error.message)}\nRun "podlink ${name} --help" for its arguments\n`);
    return 2;
  }
  const { message, code, details } = toCniError(error);
  shell.err(`podlink: ${printable(message)} [code ${code}]\n${details === undefined ? "" : `  ${printable(details)}\n`}`);
  return 1;
}
