import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Report } from "../../../src/cni/handle.ts";
import { logCall, logLine } from "../../../src/runtime/call-log.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const report: Report = {
  type: "bridge",
  command: "ADD",
  network: "demo",
  containerId: "c1",
  ifname: "eth0",
  pod: "default/web",
  ms: 12.34567,
  steps: [{ command: "ip link add cni0 type bridge", ms: 0.12345 }],
};

const error = { code: 50, msg: "no address left" };

describe("logLine", () => {
  it("is one line of JSON that says who, what, how long and what was changed", () => {
    const line = logLine(report, { now: 0, trace: "00-4bf9-00f0-01" });
    expect(line).not.toContain("\n");
    expect(JSON.parse(line)).toEqual({
      time: "1970-01-01T00:00:00.000Z",
      type: "bridge",
      command: "ADD",
      network: "demo",
      containerId: "c1",
      ifname: "eth0",
      pod: "default/web",
      trace: "00-4bf9-00f0-01",
      ms: 12.346,
      steps: [{ command: "ip link add cni0 type bridge", ms: 0.123 }],
    });
  });

  it("has warnings and the error where there are any", () => {
    const line = logLine({ ...report, warnings: ["bridge: beware"], error }, { now: 0 });
    expect(JSON.parse(line)).toMatchObject({ warnings: ["bridge: beware"], error });
  });
});

describe("logCall", () => {
  it.each(["ADD", "DEL", "CHECK", "GC"])("logs %s", (command) => {
    const path = join(temporaryDirectory(), "sub/podlink.log");
    logCall({ ...report, command }, { PODLINK_LOG: path });
    expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({ command });
  });

  it.each(["STATUS", "VERSION", ""])("logs %j only when it failed", (command) => {
    const path = join(temporaryDirectory(), "podlink.log");
    logCall({ ...report, command }, { PODLINK_LOG: path });
    expect(existsSync(path)).toBe(false);
    logCall({ ...report, command, error }, { PODLINK_LOG: path });
    expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({ command, error });
  });

  it.each(["STATUS", "VERSION", "ADD"])("logs %s at level all", (command) => {
    const path = join(temporaryDirectory(), "podlink.log");
    expect(logCall({ ...report, command }, { PODLINK_LOG: path, PODLINK_LOG_LEVEL: "all" })).toEqual([]);
    expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({ command });
  });

  it.each(["STATUS", "ADD"])("logs %s at level errors only when it failed", (command) => {
    const path = join(temporaryDirectory(), "podlink.log");
    const env = { PODLINK_LOG: path, PODLINK_LOG_LEVEL: "errors" };
    logCall({ ...report, command }, env);
    expect(existsSync(path)).toBe(false);
    logCall({ ...report, command, error }, env);
    expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({ command, error });
  });

  it("puts the file aside at the size asked for", () => {
    const path = join(temporaryDirectory(), "podlink.log");
    const size = logLine(report, { now: Date.now() }).length + 1;
    const env = { PODLINK_LOG: path, PODLINK_LOG_SIZE: String(2 * size) };
    logCall(report, env);
    expect(existsSync(`${path}.1`)).toBe(false);
    logCall(report, env);
    expect([existsSync(path), existsSync(`${path}.1`)]).toEqual([false, true]);
  });

  it("says what it cannot use, and logs all the same", () => {
    const path = join(temporaryDirectory(), "podlink.log");
    const notes = logCall(report, { PODLINK_LOG: path, PODLINK_LOG_LEVEL: "debug", PODLINK_LOG_SIZE: "much" });
    expect(notes).toEqual([
      'PODLINK_LOG_LEVEL is "debug", not all, changes, errors: taking changes',
      'PODLINK_LOG_SIZE is "much", not a size as 500k or 10M: taking 10M',
    ]);
    expect(readFileSync(path, "utf8").split("\n")).toHaveLength(2);
  });

  it("logs nothing into a file called off", () => {
    logCall(report, { PODLINK_LOG: "off" });
    expect(existsSync("off")).toBe(false);
  });
});
