import { fstatSync } from "node:fs";
import { CniError, codes, errorJson } from "./cni/error.ts";
import type { Request, Response } from "./cni/handle.ts";
import { logCall } from "./runtime/call-log.ts";
import { explainCall } from "./runtime/explain.ts";
import { reason } from "./support/errors.ts";
import { exitNow, ignoreSignal } from "./sys/libc.ts";
import { readAll, writeAll } from "./sys/stdio.ts";

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;

/** signal(7): SIGHUP, SIGINT, SIGTERM. */
const STOP_SIGNALS = [1, 2, 15];

/** What an entry hands in of its process. */
export interface Caller {
  readonly env: NodeJS.ProcessEnv;
  /** Answers the call, whatever it is. */
  readonly respond: (request: Request) => Response;
}

/** Answers one call by a container runtime, and ends the process. */
export function answerCall(type: string, { env, respond }: Caller): never {
  let exitCode: number;
  try {
    // a DEL that stops half way would leave the rest to nobody
    if (env.CNI_COMMAND === "DEL") for (const signal of STOP_SIGNALS) ignoreSignal(signal);
    const { exitCode: answered, stdout, stderr, report } = respond({ type, env, stdin: readStdin });
    if (stderr !== "") writeAll(STDERR, stderr);
    if (stdout !== "") writeAll(STDOUT, stdout);
    explainCall(report, env);
    for (const note of logCall(report, env)) writeAll(STDERR, `${type}: ${note}\n`);
    exitCode = answered;
  } catch (error) {
    crash(error);
  }
  // What the environment makes Node do at its end, libc's way out does not, which takes 2 ms to load
  exitNow(exitCode, { loadFfi: env.NODE_V8_COVERAGE !== undefined || env.NODE_CHANNEL_FD !== undefined });
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
