import { closeSync, mkdirSync, openSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { type Host, handle, type Response } from "../../../src/cni/handle.ts";
import type { Plugin } from "../../../src/cni/plugin.ts";
import { plugins } from "../../../src/plugins/index.ts";
import { invoke, type Self } from "../../../src/runtime/invoke.ts";
import { isOwnNetns } from "../../../src/sys/netns.ts";
import { expectError } from "../call-plugin.ts";
import { notForEver } from "./runs.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** What JavaScript says itself of a mistake in a program. */
const program =
  /Internal error|is not a function|is not iterable|Cannot read propert|Cannot set propert|Cannot destructure|Cannot convert|Cannot mix BigInt|call stack|Invalid array length|Invalid string length|not defined|(?:of|reading) undefined|undefined is|\[object |\bNaN\b|must be of type|Received (?:type|an instance)|null bytes|out of memory|ERR_[A-Z]/;

/** A call of a plugin in this process, by whose answer and whose errors a crash is told from a refusal. */
export class WatchedHost {
  /** CNI_PATH. */
  readonly path: string;
  readonly #host: Host;
  readonly #thrown: unknown[] = [];

  /** @param directory made here, with a file for each type */
  constructor(directory: string) {
    this.path = directory;
    mkdirSync(directory, { recursive: true });
    const executable = join(directory, "podlink");
    closeSync(openSync(executable, "wx", 0o755));
    for (const type of Object.keys(plugins)) if (type !== "podlink") symlinkSync("podlink", join(directory, type));
    const watched = Object.fromEntries(Object.entries(plugins).map(([type, plugin]) => [type, this.#watch(plugin)]));
    const self: Self = {
      executable,
      has: () => true,
      run: (type, { env, stdin, steps }) => handle({ type, env, stdin: () => stdin, steps }, host),
    };
    const host: Host = {
      plugins: watched,
      podlinkVersion: "0.1.0",
      isOwnNetns,
      invoke: (type, request) => invoke(type, request, self),
    };
    this.#host = host;
  }

  #watch(plugin: Plugin): Plugin {
    const watch = <P extends unknown[], R>(work: (...parameters: P) => R) => {
      return (...parameters: P): R => {
        try {
          return work(...parameters);
        } catch (error) {
          this.#thrown.push(error);
          throw error;
        }
      };
    };
    const { resolve, add, check, del, gc, status } = plugin;
    return {
      ...plugin,
      resolve: watch(resolve),
      add: watch(add),
      check: watch(check),
      del: watch(del),
      gc: watch(gc),
      status: watch(status),
    };
  }

  /**
   * Runs a call and makes sure of what holds for every one: nothing, a result or one error object, no crash.
   * @param stdin bytes as they come
   */
  call(type: string, { env, stdin }: { env: Environment; stdin: Uint8Array }): Response {
    notForEver(`${type} ${JSON.stringify(env)}\n${Buffer.from(stdin)}`);
    this.#thrown.length = 0;
    const response = handle({ type, env: { CNI_PATH: this.path, ...env }, stdin: () => stdin }, this.#host);
    const { exitCode, stdout } = response;
    if (exitCode === 0) {
      if (env.CNI_COMMAND === "ADD" || env.CNI_COMMAND === "VERSION") expect(JSON.parse(stdout)).toEqual(expect.any(Object));
      else expect(stdout).toBe("");
    } else {
      const error = expectError(response);
      expect(programming(error.msg), error.msg).toBe(false);
      for (const thrown of this.#thrown) expectNoCrash(thrown);
      // CHECK says with this code what is not as it was; elsewhere it is a refusal by the node, made known by one of the plugin's verbs
      if (error.code === 999) expect(this.#thrown, error.msg).not.toHaveLength(0);
    }
    for (const line of response.stderr.split("\n").slice(0, -1)) expect(line).toMatch(/^[a-z-]+: |^CNI /);
    return response;
  }
}

/** Values in quotes are the caller's own. */
function programming(message: string): boolean {
  return program.test(message.replace(/"(?:[^"\\]|\\.)*"/gs, '""'));
}

/** What a person is told is in podlink's own words. */
export function expectNoProgramError(text: string): void {
  expect(programming(text), text).toBe(false);
}

/** An error that nobody meant to throw is the program's fault, wherever in a chain of causes it stands. */
export function expectNoCrash(thrown: unknown): void {
  for (let error = thrown; error !== undefined; error = (error as Error).cause) {
    if (!(error instanceof Error)) throw new Error(`thrown: ${String(error)}`);
    const bug =
      error instanceof TypeError || error instanceof ReferenceError || error instanceof EvalError || programming(error.message);
    const nodes = "code" in error && String(error.code).startsWith("ERR_");
    if (bug || nodes) throw new Error(`a crash: ${error.stack}`, { cause: error });
  }
}
