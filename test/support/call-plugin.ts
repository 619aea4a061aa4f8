import { closeSync, openSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { linkNames } from "../../src/cli/bin-directory.ts";
import { type Host, handle } from "../../src/cni/handle.ts";
import type { Result } from "../../src/cni/result.ts";
import { plugins } from "../../src/plugins/index.ts";
import { invoke, type Self } from "../../src/runtime/invoke.ts";
import { Steps } from "../../src/support/steps.ts";
import { isOwnNetns } from "../../src/sys/netns.ts";

export type Json = Record<string, unknown>;

/** One call of a plugin, as a runtime makes it. */
export interface PluginCall {
  readonly type: string;
  readonly command: string;
  /** An object is written as JSON; text and bytes are sent as they are. */
  readonly config: Json | string | Uint8Array;
  readonly containerId?: string;
  readonly netns?: string;
  readonly ifname?: string;
  readonly args?: string;
  /** Replaces variables; undefined takes one away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly steps?: Steps;
}

/** A call that is killed after so many changes: no later one is made, those that would undo the earlier ones neither. */
export class DyingSteps extends Steps {
  #left: number;

  constructor(changes: number) {
    super();
    this.#left = changes;
  }

  override run<T>(command: string, change: () => T): T {
    if (this.#left === 0) throw new Error("killed");
    this.#left--;
    return super.run(command, change);
  }
}

export interface PluginError {
  readonly cniVersion: string;
  readonly code: number;
  readonly msg: string;
  readonly details?: string;
}

/** What became of a call. */
export interface Answer {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Every change made to the node, as commands. */
  readonly steps: readonly string[];
}

/** Calls plugins in this process, as `src/main.ts` does, IPAM included. */
export class Caller {
  /** CNI_PATH: a directory with a file per type, all of them this "executable". */
  readonly path: string;
  readonly #host: Host;

  constructor(directory: string) {
    this.path = directory;
    const executable = join(directory, "podlink");
    closeSync(openSync(executable, "wx", 0o755));
    for (const type of linkNames(Object.keys(plugins))) symlinkSync("podlink", join(directory, type));
    const self: Self = {
      executable,
      has: () => true,
      run: (type, { env, stdin, steps }) => handle({ type, env, stdin: () => stdin, steps }, host),
    };
    const host: Host = { plugins, podlinkVersion: "0.1.0", isOwnNetns, invoke: (type, request) => invoke(type, request, self) };
    this.#host = host;
  }

  /** Runs a call and makes sure of what holds for all of them: one JSON document or nothing, and an error where it failed. */
  call({ type, command, config, containerId = "cid-1", netns, ifname = "eth0", args, env, steps }: PluginCall): Answer {
    const stdin =
      typeof config === "string" || config instanceof Uint8Array ? Buffer.from(config) : Buffer.from(JSON.stringify(config));
    const variables = {
      CNI_COMMAND: command,
      CNI_PATH: this.path,
      ...(["ADD", "DEL", "CHECK"].includes(command)
        ? { CNI_CONTAINERID: containerId, CNI_IFNAME: ifname, CNI_NETNS: netns, CNI_ARGS: args }
        : {}),
      ...env,
    };
    const { exitCode, stdout, stderr, report } = handle(
      { type, env: variables, stdin: () => stdin, ...(steps === undefined ? {} : { steps }) },
      this.#host,
    );
    const answer = { exitCode, stdout, stderr, steps: report.steps.map(({ command: step }) => step) };
    if (exitCode === 0) {
      if (command === "ADD" || command === "VERSION") expect(JSON.parse(stdout)).toEqual(expect.any(Object));
      else expect(stdout).toBe("");
    } else expectError(answer);
    return answer;
  }

  /** Runs a call that must succeed. */
  succeed(call: PluginCall): Answer {
    const answer = this.call(call);
    expect(answer, `${call.command} of ${call.type}`).toMatchObject({ exitCode: 0 });
    return answer;
  }

  /** Runs an ADD that must succeed, and reads its result. */
  add(call: Omit<PluginCall, "command">): Result & { cniVersion: string } {
    return JSON.parse(this.succeed({ ...call, command: "ADD" }).stdout);
  }

  /** Runs a call that must fail. */
  fail(call: PluginCall): PluginError & { steps: readonly string[] } {
    const answer = this.call(call);
    expect(answer, `${call.command} of ${call.type}`).toMatchObject({ exitCode: 1 });
    return { ...expectError(answer), steps: answer.steps };
  }
}

/** The error object a failed call printed: exit code 1, one JSON document, no stack trace anywhere. */
export function expectError({ exitCode, stdout, stderr }: Pick<Answer, "exitCode" | "stdout" | "stderr">): PluginError {
  expect(exitCode).toBe(1);
  const error = JSON.parse(stdout);
  expect(
    Object.keys(error)
      .sort()
      .filter((key) => key !== "details"),
  ).toEqual(["cniVersion", "code", "msg"]);
  expect(error.code).toBeGreaterThan(0);
  expect(error.msg).not.toBe("");
  expect(stdout.endsWith("}\n")).toBe(true);
  for (const text of [stdout, stderr]) expect(text).not.toMatch(/^\s+at .*[:(]\d+/m);
  return error;
}
