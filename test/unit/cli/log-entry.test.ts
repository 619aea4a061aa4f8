import { describe, expect, it } from "vitest";
import { formatLogEntry, parseLogLine } from "../../../src/cli/log-entry.ts";
import type { Report } from "../../../src/cni/handle.ts";
import { logLine } from "../../../src/runtime/call-log.ts";

const report: Report = {
  type: "bridge",
  command: "ADD",
  network: "demo",
  containerId: "4f1c0a7e2b9d3c5566",
  ifname: "eth0",
  pod: "default/web",
  ms: 12.34,
  steps: [],
};

function shown(line: string): string {
  const entry = parseLogLine(line);
  if (entry === undefined) throw new Error(`not read: ${line}`);
  return formatLogEntry(entry);
}

const written = (changes: Partial<Report> = {}) => logLine({ ...report, ...changes }, { now: 0 });

describe("a line of the log", () => {
  it("is shown in columns", () => {
    expect(shown(written())).toBe(
      "1970-01-01T00:00:00.000Z  ADD     bridge      demo        4f1c0a7e2b9d3  default/web                  12.3 ms  ok",
    );
  });

  it("has a dash for what is not known", () => {
    const { type, command, ms, steps } = report;
    expect(shown(logLine({ type, command, ms, steps }, { now: 0 }))).toMatch(/ {2}bridge +- +- +- +12\.3 ms {2}ok$/);
    expect(shown("{}").split(/\s+/)).toEqual(["-", "-", "-", "-", "-", "-", "-", "ms", "ok"]);
  });

  it("says how the call ended", () => {
    const error = { code: 11, msg: "no address\nleft", details: "podlink gc may help" };
    expect(shown(written({ error }))).toMatch(/ms {2}error 11: no address left; podlink gc may help$/);
    expect(shown(written({ error: { code: 999, msg: "broken" } }))).toMatch(/ms {2}error 999: broken$/);
    expect(shown(written({ warnings: ["bridge: a", "bridge: b"] }))).toMatch(/ms {2}ok, with warnings: bridge: a; bridge: b$/);
  });

  it("moves no cursor", () => {
    const line = shown(written({ pod: "a\u001b[2J/b\u0007", error: { code: 1, msg: "x\r\u202ey\u009b1A" } }));
    expect(line).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(line).toContain("a [2J/b ");
  });

  it.each(["", "{", '{"time":"19', "[]", "null", "7", '"text"'])("is not %j", (line) => {
    expect(parseLogLine(line)).toBeUndefined();
  });
});
