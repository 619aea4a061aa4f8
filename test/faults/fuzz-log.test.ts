import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { logCall } from "../../src/runtime/call-log.ts";
import { fakeShell } from "../support/fake-shell.ts";
import { damaged, expectHarmless } from "../support/fuzz/damaged.ts";
import { hostileText } from "../support/fuzz/hostile.ts";
import { protectMachine } from "../support/fuzz/machine.ts";
import { Tried, tryAll, watchForHangs } from "../support/fuzz/runs.ts";

// Nobody writes lines into the log that are another's, and nobody moves the cursor of who reads it.

beforeAll(protectMachine);
watchForHangs();

describe("the log", () => {
  const tried = new Tried("logs and log lines");

  it("has a line for each call, whatever is in it, and a person sees a line for each", () => {
    const { directory, type } = fakeShell({ env: { PODLINK_LOG: "/tmp/log/podlink.log" } });
    expect(directory).not.toBe("");
    const report = fc.record({
      type: hostileText,
      command: fc.constantFrom("ADD", "DEL"),
      network: hostileText,
      containerId: hostileText,
      ifname: hostileText,
      netns: hostileText,
      pod: hostileText,
      ms: fc.double(),
      steps: fc.array(fc.record({ command: hostileText, ms: fc.double(), error: hostileText }), { maxLength: 2 }),
      warnings: fc.array(hostileText, { maxLength: 2 }),
      error: fc.option(fc.record({ code: fc.integer(), msg: hostileText, details: hostileText }), { nil: undefined }),
    });
    tryAll(fc.array(fc.tuple(report, hostileText), { minLength: 1, maxLength: 3 }), {
      weight: 5,
      holds(calls) {
        rmSync("/tmp/log", { recursive: true, force: true });
        for (const [one, trace] of calls)
          logCall(one as Parameters<typeof logCall>[0], { PODLINK_LOG: "/tmp/log/podlink.log", TRACEPARENT: trace });
        const lines = readFileSync("/tmp/log/podlink.log", "utf8").split("\n");
        expect(lines.map((line) => line !== "")).toEqual([...calls.map(() => true), false]);
        const shown = type("logs");
        tried.count("shown");
        expectHarmless(shown);
        expect(shown.stdout.split("\n")).toHaveLength(calls.length + 1);
      },
    });
  });

  it("that somebody wrote into is shown as far as it can be read", () => {
    const { type } = fakeShell({ env: { PODLINK_LOG: "/tmp/log/podlink.log" } });
    const sample = {
      time: "2026-02-03T18:09:10.123Z",
      command: "ADD",
      type: "bridge",
      network: "n",
      containerId: "c",
      pod: "a/b",
      ms: 1,
      steps: [],
      error: { code: 7, msg: "m" },
    };
    const line = damaged(sample, Object.keys(sample));
    tryAll(fc.array(line, { maxLength: 3 }), {
      weight: 5,
      holds(written) {
        mkdirSync("/tmp/log", { recursive: true });
        writeFileSync("/tmp/log/podlink.log", Buffer.concat(written.flatMap((bytes) => [bytes, Buffer.from("\n")])));
        for (const words of [["logs"], ["logs", "--failed"], ["logs", "-c", "c", "-n", "1"]]) expectHarmless(type(...words));
        tried.count("shown");
      },
    });
  });
});
