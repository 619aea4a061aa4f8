import { basename } from "node:path";
import packageJson from "../package.json" with { type: "json" };
import { CniError, codes, errorJson } from "./cni/error.ts";
import { type Host, handle, type Response } from "./cni/handle.ts";
import { plugins } from "./plugins/index.ts";
import { logCall } from "./runtime/call-log.ts";
import { type InvokeRequest, invoke, type Self } from "./runtime/invoke.ts";
import { reason } from "./support/errors.ts";
import { exitNow, ignoreSignal } from "./sys/libc.ts";
import { isOwnNetns } from "./sys/netns.ts";
import { readAll, writeAll } from "./sys/stdio.ts";

// The one file that knows of the process: everybody else is handed what they need of it.

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;

/** signal(7): SIGHUP, SIGINT, SIGTERM. */
const STOP_SIGNALS = [1, 2, 15];

const host: Host = {
  plugins,
  podlinkVersion: packageJson.version,
  isOwnNetns,
  invoke: (type, request) => invoke(type, request, self),
};

/** How a plugin's file on CNI_PATH is recognized as this executable, and run without a second process. */
const self: Self = {
  executable: "/proc/self/exe",
  run: (type, request) => respond(type, request),
};

function respond(type: string, { env, stdin, steps }: InvokeRequest): Response {
  protectDel(env);
  return handle({ type, env, stdin: () => stdin, steps }, host);
}

/** From a DEL on this process cannot be stopped: one that ends half way would leave the rest to nobody. */
function protectDel(env: InvokeRequest["env"]): void {
  if (env.CNI_COMMAND === "DEL") for (const signal of STOP_SIGNALS) ignoreSignal(signal);
}

/** One call by a container runtime. */
function runPlugin(type: string): number {
  protectDel(process.env);
  const { exitCode, stdout, stderr, report } = handle({ type, env: process.env, stdin: readStdin }, host);
  if (stderr !== "") writeAll(STDERR, stderr);
  if (stdout !== "") writeAll(STDOUT, stdout);
  logCall(report, process.env);
  return exitCode;
}

/** One command typed by a person; its modules are only evaluated here. */
async function runCli(): Promise<number> {
  const { runCommand } = await import("./cli/run.ts");
  const logged: Self = {
    ...self,
    run(type, request) {
      const response = respond(type, request);
      logCall(response.report, request.env);
      return response;
    },
  };
  return runCommand({
    argv: process.argv.slice(2),
    env: process.env,
    cwd: process.cwd(),
    executable: process.execPath,
    version: packageJson.version,
    pluginTypes: Object.keys(plugins).sort(),
    invoke: (type, request) => invoke(type, request, logged),
    out: (text) => writeAll(STDOUT, text),
    err: (text) => writeAll(STDERR, text),
  });
}

function readStdin(): Uint8Array {
  try {
    return readAll(STDIN);
  } catch (error) {
    throw new CniError(codes.ioFailure, `Cannot read stdin: ${reason(error)}`, { cause: error });
  }
}

/** What should not happen is still one JSON error for a runtime, and one line for a person. */
function crash(error: unknown, asPlugin: boolean): never {
  const failure = new CniError(codes.internal, `Internal error: ${reason(error)}`, { cause: error });
  try {
    if (asPlugin) writeAll(STDOUT, errorJson(failure, "1.1.0"));
    else writeAll(STDERR, `podlink: ${failure.message} [code ${failure.code}]\n`);
  } finally {
    exitNow(1); // even where nothing can be written: Node would add a stack trace
  }
}

function main(): void {
  // Only argv0 keeps the name of the link by which a single executable was called
  const name = basename(process.argv0);
  const asPlugin = Object.hasOwn(plugins, name) || (process.env.CNI_COMMAND ?? "") !== "";
  if (asPlugin) {
    let exitCode: number;
    try {
      exitCode = runPlugin(name);
    } catch (error) {
      crash(error, true);
    }
    exitNow(exitCode); // not by process.exit: that would write coverage and compile caches the caller's environment asks for
  }
  runCli().then(exitNow, (error: unknown) => crash(error, false));
}

main();
