import { fstatSync } from "node:fs";
import { basename } from "node:path";
import { CniError, codes, errorJson } from "./cni/error.ts";
import { handle } from "./cni/handle.ts";
import { makeHost } from "./host.ts";
import { plugins } from "./plugins/index.ts";
import { logCall } from "./runtime/call-log.ts";
import { reason } from "./support/errors.ts";
import { exitNow, ignoreSignal } from "./sys/libc.ts";
import { readAll, writeAll } from "./sys/stdio.ts";

// The executable's entry, as a container runtime calls it. It and cli/entry.ts alone know of the process: everybody else is handed what
// they need of it.

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;

/** signal(7): SIGHUP, SIGINT, SIGTERM. */
const STOP_SIGNALS = [1, 2, 15];

/** One call by a container runtime. */
function runPlugin(type: string): number {
  // a DEL that stops half way would leave the rest to nobody
  if (process.env.CNI_COMMAND === "DEL") for (const signal of STOP_SIGNALS) ignoreSignal(signal);
  const { exitCode, stdout, stderr, report } = handle({ type, env: process.env, stdin: readStdin }, makeHost());
  if (stderr !== "") writeAll(STDERR, stderr);
  if (stdout !== "") writeAll(STDOUT, stdout);
  logCall(report, process.env);
  return exitCode;
}

/** The tool for people is a script of its own inside the executable, so that a plugin call need not load it (scripts/lib/bundle.ts). */
function runCli(): void {
  const { getAsset } = process.getBuiltinModule("node:sea");
  const { Script } = process.getBuiltinModule("node:vm");
  const script = new Script(getAsset("cli.cjs", "utf8"), { filename: "cli.cjs" });
  script.runInThisContext()(process.getBuiltinModule);
}

function readStdin(): Uint8Array {
  try {
    if (fstatSync(STDIN).isCharacterDevice()) return new Uint8Array(); // a terminal: the person at it waits for an answer, not for an end of input
    return readAll(STDIN);
  } catch (error) {
    throw new CniError(codes.ioFailure, `Cannot read stdin: ${reason(error)}`, { cause: error });
  }
}

/** What should not happen is still one JSON error for a runtime. */
function crash(error: unknown): never {
  const failure = new CniError(codes.internal, `Internal error: ${reason(error)}`, { cause: error });
  try {
    writeAll(STDOUT, errorJson(failure, "1.1.0"));
  } catch {
    // nobody can be told (a full disk behind stdout, say): the exit code says enough
  }
  exitNow(1);
}

/** Whether the caller's environment makes Node do something at its end: then libc ends the process, which takes 2 ms to load. */
function hasNodeVariables(): boolean {
  return process.env.NODE_V8_COVERAGE !== undefined || process.env.NODE_CHANNEL_FD !== undefined;
}

function main(): void {
  // Only argv0 keeps the name of the link by which a single executable was called
  const name = basename(process.argv0);
  if (!Object.hasOwn(plugins, name) && (process.env.CNI_COMMAND ?? "") === "") {
    runCli();
    return;
  }
  let exitCode: number;
  try {
    exitCode = runPlugin(name);
  } catch (error) {
    crash(error);
  }
  exitNow(exitCode, { loadFfi: hasNodeVariables() });
}

main();
