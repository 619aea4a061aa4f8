import { parseArgs } from "node:util";
import { reason } from "../support/errors.ts";
import type { Shell } from "./shell.ts";

/** An option as help shows it: `-i, --ifname NAME`; without `value` it is a switch. */
export interface Option {
  readonly short?: string;
  /** What stands for its value in help. */
  readonly value?: string;
  readonly text: string;
}

/** What was typed behind the command's name. */
export interface Input {
  readonly positionals: readonly string[];
  /** Options that take a value. */
  readonly texts: Readonly<Record<string, string>>;
  /** Switches that were given. */
  readonly switches: ReadonlySet<string>;
}

/** One command; its help is made from this. */
export interface Command {
  readonly name: string;
  /** One line, for the list of commands. */
  readonly summary: string;
  /** In order; those in square brackets may be left out. */
  readonly positionals: readonly string[];
  readonly options: Readonly<Record<string, Option>>;
  /** Further lines of its help. */
  readonly notes: string;
  /** Other ways to write its arguments, turned into the one way. */
  rewrite?(argv: readonly string[]): string[];
  /** Done when it returns, or when its promise is kept. @throws what `toCniError` understands, or UsageError */
  run(input: Input, shell: Shell): void | Promise<void>;
}

/** What was typed makes no sense; nothing was done. */
export class UsageError extends Error {}

/** @throws UsageError that names what is wrong */
export function parseInput(command: Command, argv: readonly string[]): Input {
  const options = Object.fromEntries(
    Object.entries({ ...command.options, help: helpOption }).map(([name, { short, value }]) => [
      name,
      { type: value === undefined ? ("boolean" as const) : ("string" as const), ...(short === undefined ? {} : { short }) },
    ]),
  );
  try {
    const { values, positionals } = parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
    const texts: Record<string, string> = {};
    const switches = new Set<string>();
    for (const [name, value] of Object.entries(values)) {
      if (typeof value === "string") texts[name] = value;
      else if (value === true) switches.add(name);
    }
    if (!switches.has("help")) checkCount(command, positionals);
    return { positionals, texts, switches };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(
      reason(error)
        .replace(/\. To specify .*$/s, "")
        .replaceAll("'", '"'),
      { cause: error },
    );
  }
}

const helpOption: Option = { short: "h", text: "show this" };

/** `podlink add`'s help: usage, options, notes. */
export function helpOf(command: Command): string {
  const entries = Object.entries({ ...command.options, help: helpOption });
  const left = entries.map(
    ([name, { short, value }]) =>
      `${short === undefined ? "    " : `-${short}, `}--${name}${value === undefined ? "" : ` ${value}`}`,
  );
  const width = Math.max(...left.map((text) => text.length));
  const options = entries.map(([, { text }], index) => `  ${(left[index] ?? "").padEnd(width)}  ${text}`);
  const notes = command.notes === "" ? [] : ["", command.notes];
  return [`${usageOf(command)}`, "", `${command.summary}.`, "", "Options:", ...options, ...notes, ""].join("\n");
}

function usageOf({ name, positionals, options }: Command): string {
  const shown = Object.entries(options).map(
    ([option, { short, value }]) =>
      `[${short === undefined ? `--${option}` : `-${short}`}${value === undefined ? "" : ` ${value}`}]`,
  );
  return ["Usage: podlink", name, ...shown, ...positionals].join(" ");
}

function checkCount({ positionals: expected }: Command, given: readonly string[]): void {
  const missing = expected.slice(given.length).filter((name) => !name.startsWith("["));
  if (missing.length > 0) throw new UsageError(`Missing ${missing.join(" and ")}`);
  const surplus = given.slice(expected.length);
  if (surplus.length > 0) throw new UsageError(`Unexpected argument ${surplus.map((text) => `"${text}"`).join(", ")}`);
  const empty = expected.find((_, index) => given[index] === "");
  if (empty !== undefined) throw new UsageError(`${empty} is empty`);
}
