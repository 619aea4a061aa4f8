import { describe, expect, it } from "vitest";
import { makeDelegate } from "../../../src/cni/delegation.ts";
import { CniError } from "../../../src/cni/error.ts";
import { Rollback } from "../../../src/support/rollback.ts";
import { Steps } from "../../../src/support/steps.ts";
import { callFake } from "../../support/fake-plugin.ts";

interface Answer {
  exitCode?: number;
  stdout?: string;
  stderr?: string;
}

/** A delegate whose answers are given by verb; what is not given succeeds silently. */
function delegateTo(answers: Record<string, Answer | Error>, type = "host-local") {
  const runs: { type: string; command: string | undefined; env: object; stdin: string }[] = [];
  const heard = { stderr: "", warnings: [] as string[] };
  const steps = new Steps();
  const delegate = makeDelegate(type, {
    env: { CNI_COMMAND: "CHECK", CNI_CONTAINERID: "cid", CNI_PATH: "/bin", OTHER: "kept" },
    stdin: Buffer.from('{"name": "net1", "unknown": true}'),
    steps,
    cniVersion: "0.4.0",
    invoke(name, request) {
      expect(request.steps).toBe(steps);
      const command = request.env.CNI_COMMAND;
      runs.push({ type: name, command, env: request.env, stdin: Buffer.from(request.stdin).toString() });
      const answer = answers[command ?? ""] ?? {};
      if (answer instanceof Error) throw answer;
      return { exitCode: 0, stdout: "", stderr: "", ...answer };
    },
    stderr(text) {
      heard.stderr += text;
    },
    warn: (message) => heard.warnings.push(message),
  });
  const add = (commit: boolean) => {
    using rollback = new Rollback((message) => heard.warnings.push(message));
    const result = delegate.add(rollback);
    if (commit) rollback.commit();
    return result;
  };
  return { delegate, runs, heard, add, commands: () => runs.map(({ command }) => command) };
}

const lease = { stdout: '{"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.1.2.3/24"}]}' };

describe("delegation", () => {
  it.each(["gc", "status"] as const)("notes a delegate that does not know %s, and fails with one that does", (verb) => {
    const command = verb.toUpperCase();
    const unknown = delegateTo({ [command]: { exitCode: 1, stdout: `{"code": 4, "msg": "unknown CNI_COMMAND: ${command}"}` } });
    unknown.delegate[verb]();
    expect(unknown.heard.warnings).toEqual([`plugin "host-local" does not know ${command}: unknown CNI_COMMAND: ${command}`]);
    const failing = delegateTo({ [command]: { exitCode: 1, stdout: '{"code": 50, "msg": "full"}' } });
    expect(() => failing.delegate[verb]()).toThrow("full");
  });

  it("hands on environment and configuration", () => {
    const { add, runs } = delegateTo({ ADD: lease });
    add(true);
    expect(runs).toEqual([
      {
        type: "host-local",
        command: "ADD",
        env: { CNI_COMMAND: "ADD", CNI_CONTAINERID: "cid", CNI_PATH: "/bin", OTHER: "kept" },
        stdin: '{"name": "net1", "unknown": true}',
      },
    ]);
  });

  it.each(["check", "del", "gc", "status"] as const)("runs %s", (verb) => {
    const { delegate, commands } = delegateTo({});
    delegate[verb]();
    expect(commands()).toEqual([verb.toUpperCase()]);
  });

  it.each([
    ["the configuration's version", lease.stdout],
    ["no version", '{"ips": [{"version": "4", "address": "10.1.2.3/24"}]}'],
    ["an empty version", '{"cniVersion": "", "ips": [{"address": "10.1.2.3/24"}]}'],
    ["a newer version", '{"cniVersion": "1.0.0", "ips": [{"address": "10.1.2.3/24"}]}'],
    ["another spelling", '{"CNIVersion": "1.0.0", "IPs": [{"Address": "10.1.2.3/24"}]}'],
  ])("reads a result of %s", (_name, stdout) => {
    expect(delegateTo({ ADD: { stdout } }).add(true)).toEqual({ ips: [{ address: "10.1.2.3/24" }] });
  });

  it("reads a result of an old version", () => {
    const stdout = '{"cniVersion": "0.2.0", "ip4": {"ip": "10.1.2.3/24"}}';
    expect(delegateTo({ ADD: { stdout } }).add(true).ips).toEqual([{ address: "10.1.2.3/24" }]);
  });

  it("undoes a successful ADD when the call fails later, and not when it does not", () => {
    const failing = delegateTo({ ADD: lease });
    failing.add(false);
    expect(failing.commands()).toEqual(["ADD", "DEL"]);
    const lasting = delegateTo({ ADD: lease });
    lasting.add(true);
    expect(lasting.commands()).toEqual(["ADD"]);
  });

  it("warns when undoing fails", () => {
    const { add, heard } = delegateTo({ ADD: lease, DEL: { exitCode: 1, stdout: '{"code": 11, "msg": "busy"}' } });
    add(false);
    expect(heard.warnings).toEqual(['Cannot run DEL of plugin "host-local" while undoing: busy']);
  });

  it("follows a failed ADD by DEL, once, and keeps its error", () => {
    const error = '{"code": 11, "msg": "no address", "details": "all taken"}';
    const { add, commands } = delegateTo({ ADD: { exitCode: 1, stdout: error } });
    expect(() => add(false)).toThrow(expect.objectContaining({ code: 11, message: "no address", details: "all taken" }));
    expect(commands()).toEqual(["ADD", "DEL"]);
  });

  it("tells the first error when the DEL after it fails too", () => {
    const { add, heard } = delegateTo({
      ADD: { exitCode: 1, stdout: '{"code": 11, "msg": "first"}' },
      DEL: { exitCode: 1, stdout: '{"code": 999, "msg": "second"}' },
    });
    expect(() => add(false)).toThrow("first");
    expect(heard.warnings).toEqual(['Cannot clean up after plugin "host-local": second']);
  });

  it.each([
    ["no result", "", 'Cannot parse result of plugin "host-local": the input is empty', 6],
    ["no JSON", "Segmentation fault", "at line 1, column 1", 6],
    ["a broken result", '{"ips": [{"address": 5}]}', '"ips[0].address" is 5', 6],
    ["a version that does not exist", '{"cniVersion": "7.0.0"}', 'unsupported CNI result version "7.0.0"', 1],
  ])("takes %s for a failed ADD", (_name, stdout, message, code) => {
    const { add, commands } = delegateTo({ ADD: { stdout } });
    expect(() => add(false)).toThrow(expect.objectContaining({ message: expect.stringContaining(message), code }));
    expect(commands()).toEqual(["ADD", "DEL"]);
  });

  it("runs no DEL for a delegate that could not be run", () => {
    const { add, commands } = delegateTo({ ADD: new CniError(7, 'failed to find plugin "host-local" in path [/bin]') });
    expect(() => add(false)).toThrow("failed to find plugin");
    expect(commands()).toEqual(["ADD"]);
  });

  it.each([
    ['{"code": 0, "msg": "unknown"}', "", 999, "unknown"],
    ['{"Code": 50, "Msg": "exhausted"}', "", 50, "exhausted"],
    ["", "died\n", 999, 'Cannot run plugin "host-local": exit code 2: "died"'],
    ["", "", 999, 'Cannot run plugin "host-local": exit code 2: it said nothing'],
    ["panic", "", 999, 'Cannot run plugin "host-local": exit code 2: "panic"'],
    ["[]", "", 999, 'Cannot run plugin "host-local": exit code 2: "[]"'],
    ['{"code": 7}', "oh", 999, 'Cannot run plugin "host-local": exit code 2: "oh"'],
  ])("reads the failure %j, %j", (stdout, stderr, code, message) => {
    const { delegate } = delegateTo({ STATUS: { exitCode: 2, stdout, stderr } });
    expect(() => delegate.status()).toThrow(expect.objectContaining({ code, message }));
  });

  it("hands on stderr in whole lines", () => {
    const { delegate, heard } = delegateTo({ DEL: { stderr: "one" }, GC: { stderr: "two\n" } });
    delegate.del();
    delegate.gc();
    expect(heard.stderr).toBe("one\ntwo\n");
  });

  it.each([
    ["", "no plugin name provided"],
    ["../bridge", 'a plugin name has no "/"'],
  ])("refuses the type %j", (type, message) => {
    expect(() => delegateTo({}, type)).toThrow(expect.objectContaining({ code: 7, message: expect.stringContaining(message) }));
  });
});

describe("a plugin that delegates", () => {
  it("answers with the delegate's error and its own code", () => {
    const answer = callFake("ADD", {
      config: { ipam: { type: "other" } },
      overrides: { add: (call, rollback) => call.delegate("other").add(rollback) },
      host: {
        invoke: (_type, { env }) =>
          env.CNI_COMMAND === "ADD"
            ? { exitCode: 1, stdout: '{"code": 11, "msg": "try later"}', stderr: "heard\n" }
            : { exitCode: 0, stdout: "", stderr: "again\n" },
      },
    });
    expect(answer.json()).toEqual({ cniVersion: "1.1.0", code: 11, msg: "try later" });
    expect(answer).toMatchObject({ exitCode: 1, stderr: "heard\nagain\n" });
  });

  it("runs the delegate's DEL when it fails itself", () => {
    const commands: (string | undefined)[] = [];
    const answer = callFake("ADD", {
      overrides: {
        add(call, rollback) {
          call.delegate("other").add(rollback);
          throw new Error("Cannot go on");
        },
      },
      host: {
        invoke(_type, { env }) {
          commands.push(env.CNI_COMMAND);
          return { exitCode: 0, stdout: "{}", stderr: "" };
        },
      },
    });
    expect(answer.json()).toMatchObject({ code: 999, msg: "Cannot go on" });
    expect(commands).toEqual(["ADD", "DEL"]);
  });
});
