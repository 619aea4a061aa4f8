import { execFileSync } from "node:child_process";
import { appendFileSync, existsSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { runCommand } from "../../../src/cli/run.ts";
import type { Shell } from "../../../src/cli/shell.ts";
import type { Report } from "../../../src/cni/handle.ts";
import { logLine } from "../../../src/runtime/call-log.ts";
import { appendLine } from "../../../src/support/log.ts";
import { fakeShell } from "../../support/fake-shell.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const error = { code: 11, msg: "no address left" };

/** A log's line of the n-th second. */
function line(n: number, changes: Partial<Report> = {}): string {
  const report = { type: "bridge", command: "ADD", network: "demo", containerId: `cid${n}`, ms: n, steps: [], ...changes };
  return logLine(report, { now: n * 1000 });
}

/** A shell whose log lies in a directory that is there. */
function shellWithLog(...lines: string[]) {
  const path = join(temporaryDirectory(), "podlink.log");
  writeFileSync(path, lines.map((one) => `${one}\n`).join(""));
  return { path, ...fakeShell({ env: { PODLINK_LOG: path } }) };
}

/** The containers of the lines printed. */
function containers(stdout: string): string[] {
  return stdout.split("\n").flatMap((one) => /\bcid\w*/.exec(one)?.[0] ?? []);
}

describe("podlink logs", () => {
  it("shows a line per call, those in files put aside first", () => {
    const { type, path } = shellWithLog(line(3), line(4, { error }));
    writeFileSync(`${path}.1`, `${line(2)}\n`);
    writeFileSync(`${path}.2`, `${line(1)}\n`);
    const { exitCode, stdout, stderr } = type("logs");
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(stdout.split("\n")).toEqual([
      expect.stringMatching(/^1970-01-01T00:00:01\.000Z {2}ADD .* cid1 .* 1\.0 ms {2}ok$/),
      expect.stringMatching(/^1970-01-01T00:00:02\.000Z {2}ADD .* cid2 .* 2\.0 ms {2}ok$/),
      expect.stringMatching(/^1970-01-01T00:00:03\.000Z {2}ADD .* cid3 .* 3\.0 ms {2}ok$/),
      expect.stringMatching(/^1970-01-01T00:00:04\.000Z {2}ADD .* cid4 .* 4\.0 ms {2}error 11: no address left$/),
      "",
    ]);
  });

  it.each([
    [["--failed"], ["cid2", "cid11"]],
    [
      ["--container", "cid1"],
      ["cid1", "cid11"],
    ],
    [["-c", "cid1", "--failed"], ["cid11"]],
    [
      ["-n", "2"],
      ["cid11", "cid3"],
    ],
    [["-n", "1", "--failed"], ["cid11"]],
    [["-n", "0"], []],
    [
      ["-n", "99"],
      ["cid1", "cid2", "cid11", "cid3"],
    ],
    [["--container", "nobody"], []],
  ])("%j shows some of them", (options, expected) => {
    const { type } = shellWithLog(line(1), line(2, { error }), line(11, { error }), line(3));
    const { exitCode, stdout } = type("logs", ...options);
    expect([exitCode, containers(stdout)]).toEqual([0, expected]);
  });

  it("--json prints the lines as they are", () => {
    const lines = [line(1), line(2, { error })];
    const { type } = shellWithLog(...lines);
    expect(type("logs", "--json").stdout).toBe(`${lines[0]}\n${lines[1]}\n`);
    expect(type("logs", "--json", "--failed").stdout).toBe(`${lines[1]}\n`);
  });

  it("leaves out what is no line of the log, and says so", () => {
    const { type, path } = shellWithLog(line(1), '{"time":"19', line(2));
    const { exitCode, stdout, stderr } = type("logs");
    expect([exitCode, containers(stdout)]).toEqual([0, ["cid1", "cid2"]]);
    expect(stderr).toBe(`podlink: Left out of "${path}", being no JSON: 1 lines\n`);
  });

  it("shows nothing where nothing was logged, and makes nothing", () => {
    const directory = join(temporaryDirectory(), "log");
    const { type } = fakeShell({ env: { PODLINK_LOG: join(directory, "podlink.log") } });
    expect(type("logs")).toEqual({ exitCode: 0, stdout: "", stderr: "" });
    expect(existsSync(directory)).toBe(false);
  });

  it.each([
    ["a directory", "no regular file", (path: string) => void mkdirSync(path)],
    ["a pipe", "no regular file", (path: string) => void execFileSync("mkfifo", [path])],
    ["a device", "no regular file", () => "/dev/null"],
    ["a link", "ELOOP", (path: string) => symlinkSync("podlink.log.1", path)],
  ])("says why it can show nothing: its log is %s", (_, why, make) => {
    const path = join(temporaryDirectory(), "podlink.log");
    writeFileSync(`${path}.1`, "");
    const { exitCode, stdout, stderr } = fakeShell({ env: { PODLINK_LOG: make(path) ?? path } }).type("logs");
    expect([exitCode, stdout, stderr]).toEqual([1, "", expect.stringMatching(`^podlink: Cannot read the log ".*": .*${why}`)]);
  });

  it("says that there is no log", () => {
    const off = fakeShell({ env: { PODLINK_LOG: "off" } }).type("logs");
    expect([off.exitCode, off.stderr]).toEqual([1, expect.stringContaining("PODLINK_LOG is off")]);
  });

  it.each(["x", "-1", "1.5", ""])("refuses -n %j", (count) => {
    expect(shellWithLog().type("logs", `--lines=${count}`)).toMatchObject({ exitCode: 2, stdout: "" });
  });
});

describe("podlink logs --follow", () => {
  /** Runs it until so many lines were printed; `onLine` is told of each. */
  function following(
    path: string,
    options: { argv?: string[]; lines: number; onLine?: (count: number) => void },
  ): { printed: string[]; done: number | Promise<number> } {
    const printed: string[] = [];
    const shell: Shell = {
      argv: ["logs", "--follow", ...(options.argv ?? [])],
      env: { PODLINK_LOG: path },
      cwd: "/",
      executable: "/nonexistent",
      version: "1.2.3",
      pluginTypes: [],
      pid: 1,
      untilStopped: () => new Promise(() => {}),
      invoke: () => ({ exitCode: 0, stdout: "", stderr: "" }),
      out(text) {
        printed.push(...containers(text));
        options.onLine?.(printed.length);
        return printed.length < options.lines;
      },
      err: (text) => expect.unreachable(text),
    };
    return { printed, done: runCommand(shell) };
  }

  it("shows what is there and what comes, until nobody reads", async () => {
    const { path } = shellWithLog(line(1), line(2));
    const { printed, done } = following(path, { lines: 4, argv: ["-n", "1"] });
    expect(printed).toEqual(["cid2"]);
    appendFileSync(path, `${line(3)}\n`);
    appendFileSync(path, `${line(4)}\n${line(5)}\n${line(6)}\n`);
    expect(await done).toBe(0);
    expect(printed).toEqual(["cid2", "cid3", "cid4", "cid5"]);
  });

  it("begins before there is a log", async () => {
    const path = join(temporaryDirectory(), "log", "podlink.log");
    const { done, printed } = following(path, { lines: 1 });
    appendLine(line(1), { path });
    expect(await done).toBe(0);
    expect(printed).toEqual(["cid1"]);
  });

  it("goes on when the log is put aside, and shows what was asked for alone", async () => {
    const { path } = shellWithLog(line(1));
    const write = (count: number) => {
      if (count !== 1) return;
      appendFileSync(path, `${line(2, { error })}\n`);
      renameSync(path, `${path}.1`);
      for (const n of [3, 4, 5]) appendLine(line(n, n === 4 ? {} : { error }), { path, maxBytes: 1 });
    };
    const first = following(path, { lines: 1, argv: ["--failed"] });
    appendFileSync(path, `${line(11, { error })}\n`);
    expect(await first.done).toBe(0);
    const { printed, done } = following(path, { lines: 4, argv: ["--failed"], onLine: write });
    expect(await done).toBe(0);
    expect(printed).toEqual(["cid11", "cid2", "cid3", "cid5"]);
  });

  it("says what it cannot watch", async () => {
    const file = join(temporaryDirectory(), "file");
    writeFileSync(file, "");
    const { type } = fakeShell({ env: { PODLINK_LOG: join(file, "podlink.log") } });
    expect(type("logs", "--follow")).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/^podlink: /) });
  });
});
