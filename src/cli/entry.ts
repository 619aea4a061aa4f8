import { basename } from "node:path";
import { makeHost, makeSelf, podlinkVersion, respond } from "../host.ts";
import { plugins } from "../plugins/index.ts";
import { logCall } from "../runtime/call-log.ts";
import { explainCall } from "../runtime/explain.ts";
import { invoke } from "../runtime/invoke.ts";
import { reason } from "../support/errors.ts";
import { exitNow } from "../sys/libc.ts";
import { writeAll } from "../sys/stdio.ts";
import { runCommand } from "./run.ts";

// The entry of the tool for people: a script of its own, which main.ts runs when podlink is called by its own name.

const STDOUT = 1;
const STDERR = 2;

/** One command typed by a person; plugins that are inside run in this process, and each such call is logged. */
function runCli(): number | Promise<number> {
  const host = makeHost(plugins);
  const told = new Set<string>();
  const self = makeSelf(host, (type, request) => {
    const response = respond(host, type, request);
    explainCall(response.report, request.env);
    for (const note of logCall(response.report, request.env)) {
      if (!told.has(note)) writeAll(STDERR, `podlink: ${note}\n`);
      told.add(note);
    }
    return response;
  });
  return runCommand({
    argv: commandLine(),
    env: process.env,
    cwd: process.cwd(),
    executable: process.execPath,
    version: podlinkVersion(),
    pluginTypes: Object.keys(host.plugins).sort(),
    invoke: (type, request) => invoke(type, request, self),
    pid: process.pid,
    untilStopped: () =>
      new Promise((resolve) => {
        for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, resolve);
      }),
    out: (text) => writeAll(STDOUT, text),
    err: (text) => writeAll(STDERR, text),
  });
}

/** What was typed behind `podlink`; of a type that has commands its name comes first (`dhcp daemon`). */
function commandLine(): string[] {
  const { argv, argv0 } = process;
  const typed = argv.slice(2);
  const name = basename(argv0);
  const commands = Object.hasOwn(plugins, name) ? plugins[name]?.commands : undefined;
  return commands?.includes(typed[0] ?? "") === true ? [name, ...typed] : typed;
}

function exit(exitCode: number): never {
  exitNow(exitCode, { loadFfi: true });
}

function crash(error: unknown): never {
  writeAll(STDERR, `podlink: Internal error: ${reason(error)}\n`);
  exit(1);
}

function main(): void {
  try {
    const exitCode = runCli();
    if (typeof exitCode === "number") exit(exitCode);
    exitCode.then(exit, crash);
  } catch (error) {
    crash(error);
  }
}

main();
