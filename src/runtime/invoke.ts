import { statSync } from "node:fs";
import { join } from "node:path";
import { CniError, codes } from "../cni/error.ts";
import { shellWord } from "../support/shell-word.ts";
import type { Steps } from "../support/steps.ts";
import { isErrno } from "../sys/errno.ts";

/** What a plugin is handed beside its type. */
export interface InvokeRequest {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: Uint8Array;
  readonly steps: Steps;
}

/** What a plugin left behind. */
export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the plugin of a type to its end. */
export type Invoke = (type: string, request: InvokeRequest) => Outcome;

/** How the running executable is recognized, and called without starting another process. */
export interface Self {
  /** Path of the file this process runs, or a link to it: `/proc/self/exe`. */
  readonly executable: string;
  /** Whether the type is among those that this process has loaded; any other is run as a process of its own, of the same file. */
  has(type: string): boolean;
  run(type: string, request: InvokeRequest): Outcome;
  /** How long another program may think about STATUS. */
  readonly statusTimeoutMs?: number;
}

/** A runtime waits for STATUS before it does anything else: a plugin that hangs would have it take the whole node for hanging. */
const STATUS_TIMEOUT_MS = 10_000;

const CHANGING = new Set(["ADD", "DEL", "GC"]);

/** A result of any size that makes sense, and an end to what a plugin gone wild can fill our memory with. */
const MAX_OUTPUT_BYTES = 64 * 2 ** 20;

/** A file being written cannot be executed; installing ends soon or never. Six seconds in all, as libcni waits. */
const BUSY_PAUSES_MS = [50, 100, 200, 400, 800, 1200, 1500, 1750];

/**
 * Runs the plugin that libcni would find on CNI_PATH: in this process when its file is the one this process runs (same
 * device and inode, whatever its name), as a process of its own otherwise.
 * @throws CniError when there is no such file or it cannot be started
 */
export function invoke(type: string, request: InvokeRequest, self: Self): Outcome {
  const file = findPlugin(type, request.env.CNI_PATH ?? "");
  return self.has(type) && isSameFile(file, self.executable) ? self.run(type, request) : runOther(file, request, self);
}

/**
 * The first regular file of this name in the directories of CNI_PATH; links are followed, permissions not looked at.
 * @throws CniError that names the type and the directories
 */
export function findPlugin(type: string, cniPath: string): string {
  if (type === "" || type.includes("/")) {
    throw new CniError(codes.invalidConfig, `Cannot run plugin ${JSON.stringify(type)}: not a file name`);
  }
  const directories = cniPath.split(":").filter((directory) => directory !== "");
  for (const directory of directories) {
    const file = join(directory, type);
    if (isFile(file)) return file;
  }
  throw new CniError(
    codes.invalidConfig,
    `Cannot run plugin "${type}": failed to find plugin "${type}" in path [${directories.join(" ")}]`,
    {
      details: directories.length === 0 ? "CNI_PATH is empty" : `install "${type}", or add its directory to CNI_PATH`,
    },
  );
}

/** What cannot be looked at is not there, as for libcni. */
function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function isSameFile(file: string, other: string): boolean {
  const left = statSync(file, { throwIfNoEntry: false });
  const right = statSync(other, { throwIfNoEntry: false });
  return left !== undefined && right !== undefined && left.dev === right.dev && left.ino === right.ino;
}

/** What another program changes is its own secret: the step is its call. */
function runOther(file: string, request: InvokeRequest, { statusTimeoutMs = STATUS_TIMEOUT_MS }: Self): Outcome {
  if (request.env.CNI_COMMAND === "STATUS") return execute(file, request, { timeout: statusTimeoutMs });
  if (!CHANGING.has(request.env.CNI_COMMAND ?? "")) return execute(file, request);
  try {
    return request.steps.run(typed(file, request), () => {
      const outcome = execute(file, request);
      if (outcome.exitCode !== 0) throw new FailedPlugin(outcome);
      return outcome;
    });
  } catch (error) {
    if (error instanceof FailedPlugin) return error.outcome;
    throw error;
  }
}

/** For the record of steps alone. */
class FailedPlugin extends Error {
  readonly outcome: Outcome;

  constructor(outcome: Outcome) {
    super(`exit code ${outcome.exitCode}`);
    this.outcome = outcome;
  }
}

/** `printf %s '{"cniVersion":…}' | CNI_COMMAND=ADD … /opt/cni/bin/dhcp` */
function typed(file: string, { env, stdin }: InvokeRequest): string {
  const variables = Object.entries(env).filter(([name, value]) => name.startsWith("CNI_") && value !== undefined && value !== "");
  const words = [...variables.map(([name, value]) => `${name}=${shellWord(value ?? "")}`), shellWord(file)];
  return `printf %s ${shellWord(new TextDecoder().decode(stdin))} | ${words.join(" ")}`;
}

function execute(file: string, { env, stdin }: InvokeRequest, limits: { timeout?: number } = {}): Outcome {
  const { spawnSync } = process.getBuiltinModule("node:child_process"); // 7 ms to load
  const defined = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined));
  for (let attempt = 0; ; attempt++) {
    const { error, signal, status, stdout, stderr } = spawnSync(file, [], {
      input: stdin,
      env: defined,
      encoding: "utf8",
      maxBuffer: MAX_OUTPUT_BYTES,
      killSignal: "SIGKILL",
      ...limits,
    });
    const pauseMs = BUSY_PAUSES_MS[attempt];
    if (isErrno(error, "ETXTBSY") && pauseMs !== undefined) {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, pauseMs);
      continue;
    }
    if (isErrno(error, "ETIMEDOUT")) {
      const msg = `Cannot run plugin "${file}": it has not answered for ${(limits.timeout ?? 0) / 1000} s`;
      throw new CniError(codes.unavailable, msg, { details: "it was killed", cause: error });
    }
    // EPIPE: the plugin did not read its stdin, as for VERSION; that is its right
    if (error !== undefined && !(isErrno(error, "EPIPE") && (status !== null || signal !== null))) {
      throw new CniError(codes.internal, `Cannot run plugin "${file}": ${error.message}`, { cause: error });
    }
    if (signal === null) return { exitCode: status ?? 1, stdout, stderr };
    return { exitCode: 1, stdout, stderr: `${stderr}plugin "${file}" was ended by ${signal}\n` };
  }
}
