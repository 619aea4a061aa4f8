import { watch } from "node:fs";
import { basename, dirname } from "node:path";
import { CniError, codes } from "../cni/error.ts";
import { defaultLog, readLogSettings } from "../runtime/log-settings.ts";
import { makeDirectories } from "../support/directories.ts";
import { during } from "../support/errors.ts";
import { LogReader } from "../support/log-reader.ts";
import { type Command, UsageError } from "./command.ts";
import { formatLogEntry, type LogEntry, parseLogLine } from "./log-entry.ts";
import type { Shell } from "./shell.ts";

export const logs: Command = {
  name: "logs",
  summary: "Show the calls that were logged, a line for each",
  positionals: [],
  options: {
    container: { short: "c", value: "ID", text: "calls about this container alone; the start of its ID is enough" },
    failed: { text: "failed calls alone" },
    lines: { short: "n", value: "N", text: "the last N of them" },
    follow: { short: "f", text: "go on with what is logged from now on" },
    json: { text: "print the log's own lines, which have every change made, with its time" },
  },
  notes: [
    "Columns: time, verb, plugin type, network, container, pod, how long it took, how it ended.",
    `The log is ${defaultLog}, or the one PODLINK_LOG names, with the files put aside from it.`,
  ].join("\n"),
  run({ texts, switches }, shell) {
    const count = parseCount(texts.lines);
    const { path } = readLogSettings(shell.env);
    if (path === undefined) {
      throw new CniError(codes.invalidEnvironment, "Cannot show the log: PODLINK_LOG is off", {
        details: "unset it, or set it to the file that the runtime's calls are logged in",
      });
    }
    const { container = "" } = texts;
    const view: View = {
      path,
      reader: new LogReader(path),
      shell,
      json: switches.has("json"),
      isWanted: ({ failed, containerId }) =>
        (failed || !switches.has("failed")) && (container === "" || containerId?.startsWith(container) === true),
    };
    if (switches.has("follow")) return follow(view, count).finally(() => view.reader[Symbol.dispose]());
    using _reader = view.reader;
    show(view, count);
    return undefined;
  },
};

/** A log, and what of it somebody wants to see. */
interface View {
  readonly path: string;
  readonly reader: LogReader;
  readonly shell: Shell;
  readonly json: boolean;
  isWanted(entry: LogEntry): boolean;
}

/**
 * Prints what has been logged since the last time.
 * @param count no more than so many, the last ones
 * @returns false when nobody reads any more
 */
function show({ path, reader, shell, json, isWanted }: View, count?: number): boolean {
  const print = (entry: LogEntry) => shell.out(`${json ? entry.line : formatLogEntry(entry)}\n`);
  return during(`read the log "${path}"`, () => {
    const last: LogEntry[] = [];
    let unreadable = 0;
    for (const line of reader.lines()) {
      const entry = parseLogLine(line);
      if (entry === undefined) unreadable++;
      else if (!isWanted(entry)) continue;
      else if (count !== undefined) {
        if (last.push(entry) > count) last.shift();
      } else if (!print(entry)) return false;
    }
    if (unreadable > 0) shell.err(`podlink: Left out of "${path}", being no JSON: ${unreadable} lines\n`);
    return last.every(print);
  });
}

/** Shows what is there and then what comes, woken by the kernel's notifications, until nobody reads any more. */
function follow(view: View, count: number | undefined): Promise<void> {
  const directory = dirname(view.path);
  makeDirectories(directory, 0o755); // what is not there cannot be watched
  return new Promise((resolve, reject) => {
    const watcher = watch(directory, (_event, name) => {
      if (name === null || name.startsWith(basename(view.path))) step();
    });
    const step = (firstCount?: number) => {
      try {
        if (show(view, firstCount)) return;
        resolve();
      } catch (error) {
        reject(error);
      }
      watcher.close();
    };
    watcher.on("error", reject);
    step(count); // after the watch has begun, so that nothing comes between
  });
}

function parseCount(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text)) throw new UsageError(`-n needs a number, not "${text}"`);
  return Number(text);
}
