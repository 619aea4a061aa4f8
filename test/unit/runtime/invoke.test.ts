import { spawnSync } from "node:child_process";
import { chmodSync, closeSync, linkSync, mkdirSync, openSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { findPlugin, invoke, type Outcome, type Self } from "../../../src/runtime/invoke.ts";
import { Steps } from "../../../src/support/steps.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

function script(path: string, body: string): void {
  writeFileSync(path, `#!/bin/sh\n${body}\n`);
  chmodSync(path, 0o755);
}

function run(directory: string, options: { type?: string; self?: Self; env?: Record<string, string | undefined> } = {}): Outcome {
  const nobody: Self = {
    executable: "/nonexistent",
    has: () => true,
    run: () => ({ exitCode: 99, stdout: "in process", stderr: "" }),
  };
  const request = { env: { CNI_PATH: directory, ...options.env }, stdin: new TextEncoder().encode("{}"), steps: new Steps() };
  return invoke(options.type ?? "plugin", request, options.self ?? nobody);
}

describe("findPlugin", () => {
  it("takes the first regular file, links followed, permissions not looked at", () => {
    const directory = temporaryDirectory();
    for (const name of ["a", "b", "c"]) mkdirSync(join(directory, name));
    mkdirSync(join(directory, "a/bridge"));
    writeFileSync(join(directory, "c/real"), "", { mode: 0o600 });
    symlinkSync("../c/real", join(directory, "b/bridge"));
    writeFileSync(join(directory, "c/bridge"), "");
    const path = ["/nonexistent", "", ...["a", "b", "c"].map((name) => join(directory, name))].join(":");
    expect(findPlugin("bridge", path)).toBe(join(directory, "b/bridge"));
  });

  it("goes on behind a directory that cannot be looked into", () => {
    const directory = temporaryDirectory();
    symlinkSync("bridge", join(directory, "bridge")); // leads to itself: ELOOP
    const good = join(temporaryDirectory(), "bridge");
    writeFileSync(good, "");
    expect(findPlugin("bridge", `${directory}:${"x".repeat(300)}:${dirname(good)}`)).toBe(good);
  });

  it.each(["x".repeat(300), "a\0b"])("finds no plugin of a name that no file can have", (type) => {
    expect(() => findPlugin(type, "/bin")).toThrow(expect.objectContaining({ code: 7 }));
  });

  it("says what was not found where, in libcni's words", () => {
    expect(() => findPlugin("bridge", "/nonexistent:/neither")).toThrow(
      'failed to find plugin "bridge" in path [/nonexistent /neither]',
    );
  });

  it.each(["", "../bridge", "/bin/sh"])("refuses the type %j", (type) => {
    expect(() => findPlugin(type, "/bin")).toThrow("not a file name");
  });
});

describe("invoke", () => {
  it("hands over stdin and the environment and nothing else, and answers what came back", () => {
    const directory = temporaryDirectory();
    script(join(directory, "plugin"), 'cat; echo " $GIVEN,$UNDEFINED,$HOME,$#"; echo problem >&2; exit 3');
    expect(run(directory, { env: { GIVEN: "yes", UNDEFINED: undefined } })).toEqual({
      exitCode: 3,
      stdout: "{} yes,,,0\n",
      stderr: "problem\n",
    });
  });

  it("does not mind a plugin that does not read its stdin", () => {
    const directory = temporaryDirectory();
    script(join(directory, "plugin"), "exec 0<&-; echo done");
    const request = { env: { CNI_PATH: directory }, stdin: Buffer.alloc(1_000_000, " "), steps: new Steps() };
    const self: Self = { executable: "/nonexistent", has: () => true, run: () => ({ exitCode: 99, stdout: "", stderr: "" }) };
    expect(invoke("plugin", request, self)).toEqual({ exitCode: 0, stdout: "done\n", stderr: "" });
  });

  it.each(["ADD", "DEL", "GC"])("records %s of a program as a command that a shell can run", (CNI_COMMAND) => {
    const directory = join(temporaryDirectory(), "it's here");
    mkdirSync(directory);
    script(join(directory, "plugin"), 'cat; echo " $CNI_COMMAND,$CNI_ARGS,$CNI_PATH"; case $CNI_ARGS in *3) exit 3; esac');
    const stdin = `{"name":"it's"}`;
    for (const status of [0, 3]) {
      const steps = new Steps();
      const env = { CNI_COMMAND, CNI_ARGS: `A=b ${status}`, CNI_PATH: directory, CNI_NETNS: "", OTHER: "x" };
      const self: Self = { executable: "/nonexistent", has: () => true, run: () => ({ exitCode: 99, stdout: "", stderr: "" }) };
      const outcome = invoke("plugin", { env, stdin: new TextEncoder().encode(stdin), steps }, self);
      expect(outcome).toEqual({ exitCode: status, stdout: `${stdin} ${CNI_COMMAND},A=b ${status},${directory}\n`, stderr: "" });
      const [step, ...more] = steps.list;
      expect(more).toEqual([]);
      expect(step?.error).toBe(status === 0 ? undefined : "Error: exit code 3");
      expect(step?.command).not.toContain("OTHER");
      const typed = spawnSync("sh", ["-c", step?.command ?? ""], { env: {}, encoding: "utf8" });
      expect([typed.status, typed.stdout]).toEqual([outcome.exitCode, outcome.stdout]);
    }
  });

  it.each(["CHECK", "STATUS", "VERSION"])("records nothing of %s, which changes nothing", (CNI_COMMAND) => {
    const directory = temporaryDirectory();
    script(join(directory, "plugin"), "exit 0");
    const steps = new Steps();
    const self: Self = { executable: "/nonexistent", has: () => true, run: () => ({ exitCode: 99, stdout: "", stderr: "" }) };
    invoke("plugin", { env: { CNI_COMMAND, CNI_PATH: directory }, stdin: new Uint8Array(), steps }, self);
    expect(steps.list).toEqual([]);
  });

  it("ends a plugin that does not come back from STATUS, and says so with the code for it", () => {
    const directory = temporaryDirectory();
    script(join(directory, "plugin"), "exec sleep 1000");
    const self: Self = {
      executable: "/",
      has: () => false,
      run: () => ({ exitCode: 99, stdout: "", stderr: "" }),
      statusTimeoutMs: 50,
    };
    const env = { CNI_COMMAND: "STATUS", PATH: process.env.PATH };
    expect(() => run(directory, { env, self })).toThrow(
      expect.objectContaining({ code: 50, message: expect.stringContaining("it has not answered for 0.05 s") }),
    );
  });

  it("tells of a plugin that was killed", () => {
    const directory = temporaryDirectory();
    script(join(directory, "plugin"), "kill -KILL $$");
    const outcome = run(directory);
    expect(outcome.exitCode).not.toBe(0);
    expect(outcome.stderr).toContain("was ended by SIGKILL");
  });

  it("names a file that cannot be started", () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, "plugin"), "", { mode: 0o644 });
    expect(() => run(directory)).toThrow(`Cannot run plugin "${join(directory, "plugin")}": `);
  });

  it("waits for a file that is being written", () => {
    const directory = temporaryDirectory();
    const file = join(directory, "plugin");
    script(file, "echo done");
    const writer = openSync(file, "a");
    const wait = vi.spyOn(Atomics, "wait").mockImplementation(() => {
      closeSync(writer);
      return "timed-out";
    });
    onTestFinished(() => wait.mockRestore());
    expect(run(directory)).toEqual({ exitCode: 0, stdout: "done\n", stderr: "" });
    expect(wait).toHaveBeenCalledTimes(1);
  });

  it("gives up on a file that goes on being written", () => {
    const directory = temporaryDirectory();
    const file = join(directory, "plugin");
    script(file, "echo done");
    const writer = openSync(file, "a");
    const pauses: unknown[] = [];
    const wait = vi.spyOn(Atomics, "wait").mockImplementation((_array, _index, _value, pauseMs) => {
      pauses.push(pauseMs);
      return "timed-out";
    });
    onTestFinished(() => {
      wait.mockRestore();
      closeSync(writer);
    });
    expect(() => run(directory)).toThrow("ETXTBSY");
    expect(pauses.reduce((sum: number, pause) => sum + Number(pause), 0)).toBe(6000);
  });

  it.each([
    ["a symbolic link", symlinkSync],
    ["a hard link", linkSync],
  ])("runs in process what is this executable by %s", (_, link) => {
    const directory = temporaryDirectory();
    const executable = join(directory, "podlink");
    script(executable, "exit 1");
    link(executable, join(directory, "bridge"));
    const types: string[] = [];
    const self: Self = {
      executable,
      has: (type) => type !== "elsewhere",
      run(type, request) {
        types.push(`${type} ${new TextDecoder().decode(request.stdin)}`);
        return { exitCode: 0, stdout: "in process", stderr: "" };
      },
    };
    expect(run(directory, { type: "bridge", self }).stdout).toBe("in process");
    expect(types).toEqual(["bridge {}"]);
    link(executable, join(directory, "elsewhere"));
    expect(run(directory, { type: "elsewhere", self }).exitCode).toBe(1); // a type that this process has not loaded: by a process of its own
    expect(types).toHaveLength(1);
  });

  it("executes a copy of this executable, which may be another version", () => {
    const directory = temporaryDirectory();
    script(join(directory, "podlink"), "echo copy");
    script(join(directory, "plugin"), "echo copy");
    const self: Self = {
      executable: join(directory, "podlink"),
      has: () => true,
      run: () => ({ exitCode: 0, stdout: "in process", stderr: "" }),
    };
    expect(run(directory, { self }).stdout).toBe("copy\n");
  });
});
