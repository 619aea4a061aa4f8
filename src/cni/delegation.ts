import { exactOptional, looseObject, number, string } from "valibot";
import { reason } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import type { Steps } from "../support/steps.ts";
import { parseResult } from "./convert.ts";
import { CniError, codes } from "./error.ts";
import { fold } from "./fold.ts";
import type { Host } from "./handle.ts";
import type { Command, Environment } from "./invocation.ts";
import { isObject, parseObject } from "./json.ts";
import type { Delegate } from "./plugin.ts";
import type { Result } from "./result.ts";
import type { Version } from "./version.ts";

/** The call that delegates: its environment and configuration are the delegate's too (SPEC section 4). */
export interface DelegationContext {
  readonly env: Environment;
  /** The complete configuration, byte for byte. */
  readonly stdin: Uint8Array;
  readonly steps: Steps;
  readonly cniVersion: Version;
  readonly invoke: Host["invoke"];
  /** Takes what the delegate wrote on stderr. */
  stderr(text: string): void;
  warn(message: string): void;
}

type Answer = ReturnType<Host["invoke"]>;

function errorSchema() {
  return looseObject({
    code: exactOptional(number()),
    msg: exactOptional(string()),
    details: exactOptional(string()),
  });
}

/**
 * Another plugin, run with this call's environment and configuration.
 * @param type its name, as `ipam.type` says; "" when it says nothing
 * @throws CniError 7 when that is no name
 */
export function makeDelegate(type: string, context: DelegationContext): Delegate {
  if (type === "") {
    throw new CniError(codes.invalidConfig, "Cannot delegate: no plugin name provided", { details: '"ipam" needs a "type"' });
  }
  // as libcni: a name is looked up in the directories of CNI_PATH and must not lead out of them
  if (type.includes("/")) throw new CniError(codes.invalidConfig, `Cannot delegate to "${type}": a plugin name has no "/"`);

  const invoke = (command: Command): Answer => {
    const env = { ...context.env, CNI_COMMAND: command };
    const answer = context.invoke(type, { env, stdin: context.stdin, steps: context.steps });
    if (answer.stderr !== "") context.stderr(answer.stderr.endsWith("\n") ? answer.stderr : `${answer.stderr}\n`);
    return answer;
  };
  const run = (command: Command): void => requireSuccess(type, invoke(command));
  // GC and STATUS are newer than most IPAM plugins: one that lacks them must not make them fail for those that have them
  const runIfKnown = (command: Command): void => {
    try {
      run(command);
    } catch (error) {
      if (!lacksVerb(error)) throw error;
      context.warn(`plugin "${type}" does not know ${command}: ${reason(error)}`);
    }
  };

  return {
    add: (rollback: Rollback): Result => {
      const answer = invoke("ADD"); // a delegate that cannot be run at all throws here and left nothing behind
      let result: Result;
      try {
        requireSuccess(type, answer);
        result = parseAnswer(type, answer, context.cniVersion);
      } catch (error) {
        try {
          run("DEL");
        } catch (second) {
          context.warn(`Cannot clean up after plugin "${type}": ${reason(second)}`);
        }
        throw error;
      }
      rollback.defer(`run DEL of plugin "${type}"`, () => run("DEL"));
      return result;
    },
    check: () => run("CHECK"),
    del: () => run("DEL"),
    gc: () => runIfKnown("GC"),
    status: () => runIfKnown("STATUS"),
  };
}

/** Whether a plugin says that it does not have the verb at all: written for a version before 1.1.0, or for VERSION, ADD and DEL alone. */
function lacksVerb(error: unknown): boolean {
  return error instanceof CniError && (error.code === codes.incompatibleVersion || error.code === codes.invalidEnvironment);
}

/** A delegate's error goes on as it is, with its code: it says more about the cause than we could. */
function requireSuccess(type: string, answer: Answer): void {
  if (answer.exitCode === 0) return;
  const { code, msg, details } = parseError(answer.stdout);
  if (msg !== undefined && msg !== "") {
    // 0 is what libcni calls an unknown error
    throw new CniError(code === undefined || code === 0 ? codes.internal : code, msg, details === undefined ? {} : { details });
  }
  const said = (answer.stderr.trim() || answer.stdout.trim()).slice(0, 500);
  const why = said === "" ? "it said nothing" : JSON.stringify(said);
  throw new CniError(codes.internal, `Cannot run plugin "${type}": exit code ${answer.exitCode}: ${why}`);
}

function parseError(stdout: string): { code?: number; msg?: string; details?: string } {
  try {
    const error = fold(errorSchema(), JSON.parse(stdout));
    if (!isObject(error)) return {};
    const { code, msg, details } = error;
    return {
      ...(typeof code === "number" ? { code } : {}),
      ...(typeof msg === "string" ? { msg } : {}),
      ...(typeof details === "string" ? { details } : {}),
    };
  } catch {
    return {};
  }
}

/** A result without version is of the configuration's; one with another version is taken at its word, as libcni does. */
function parseAnswer(type: string, { stdout }: Answer, cniVersion: Version): Result {
  const what = `result of plugin "${type}"`;
  const json = parseObject(Buffer.from(stdout), what);
  const { cniVersion: own } = fold(looseObject({ cniVersion: exactOptional(string()) }), json) as { cniVersion?: unknown };
  try {
    return parseResult(json, typeof own === "string" && own !== "" ? own : cniVersion);
  } catch (error) {
    throw error instanceof CniError ? new CniError(error.code, `Cannot use ${what}: ${error.message}`, { cause: error }) : error;
  }
}
