import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Report } from "../../../src/cni/handle.ts";
import { explainCall, explainSteps } from "../../../src/runtime/explain.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

function shell(script: string): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync("sh", ["-e"], { input: script, encoding: "utf8" });
  return { status, stdout, stderr };
}

const report: Report = {
  type: "bridge",
  command: "ADD",
  network: "demo",
  containerId: "c1",
  ifname: "eth0",
  ms: 1.5,
  steps: [{ command: "echo one", ms: 0.123 }],
};

describe("explainSteps", () => {
  it("has a command a line, and its time", () => {
    const steps = [
      { command: "echo one", ms: 0.1234 },
      { command: "# remember it", ms: 10 },
    ];
    expect(explainSteps(steps)).toBe("echo one  # 0.12 ms\n# remember it  # 10.00 ms\n");
  });

  it("is a script that does what succeeded and leaves out what failed", () => {
    const script = explainSteps([
      { command: "echo one", ms: 1 },
      { command: "cat <<'END'\ntwo # 2\nEND", ms: 1 },
      { command: "printf '%s\\n' 'three\nlines'", ms: 1 },
      { command: "echo four\nfalse\n", ms: 1, error: "Error: it\nfalse" },
      { command: "echo five", ms: 1 },
    ]);
    expect(shell(script)).toEqual({ status: 0, stdout: "one\ntwo # 2\nthree\nlines\nfive\n", stderr: "" });
    expect(script).toContain("failed after 1.00 ms: Error: it false");
  });
});

describe("explainCall", () => {
  it("appends a script that says whose it is to a file for its owner alone", () => {
    const path = join(temporaryDirectory(), "sub/explain.sh");
    explainCall({ ...report, pod: "default/web" }, { PODLINK_EXPLAIN: path });
    explainCall({ ...report, command: "DEL", error: { code: 999, msg: "no\nway" } }, { PODLINK_EXPLAIN: path });
    const text = readFileSync(path, "utf8");
    expect(text.split("\n").filter((line) => /^# \d{4}-/.test(line))).toEqual([
      expect.stringMatching(/Z bridge ADD, network "demo", container "c1", interface "eth0", pod "default\/web": 1\.50 ms$/),
      expect.stringMatching(/Z bridge DEL, network "demo", container "c1", interface "eth0": 1\.50 ms, failed: no way$/),
    ]);
    expect(shell(text)).toEqual({ status: 0, stdout: "one\none\n", stderr: "" });
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it("lets nothing out of a comment", () => {
    const path = join(temporaryDirectory(), "explain.sh");
    explainCall({ ...report, pod: "a\necho hacked/b", error: { code: 1, msg: "x\necho hacked" } }, { PODLINK_EXPLAIN: path });
    expect(shell(readFileSync(path, "utf8")).stdout).toBe("one\n");
  });

  it("writes nothing for a call that changed nothing, or where nobody asked", () => {
    const directory = temporaryDirectory();
    explainCall({ ...report, steps: [] }, { PODLINK_EXPLAIN: join(directory, "explain.sh") });
    explainCall(report, {});
    explainCall(report, { PODLINK_EXPLAIN: "" });
    expect(readdirSync(directory)).toEqual([]);
  });

  it("does not fail where nothing can be written", () => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, "file"), "");
    mkdirSync(join(directory, "directory"));
    for (const name of ["file/explain.sh", "directory"]) {
      expect(() => explainCall(report, { PODLINK_EXPLAIN: join(directory, name) })).not.toThrow();
    }
  });
});
