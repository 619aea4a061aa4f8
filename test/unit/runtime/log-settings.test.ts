import { describe, expect, it } from "vitest";
import { readLogSettings } from "../../../src/runtime/log-settings.ts";

const defaults = { path: "/var/log/podlink/podlink.log", level: "changes", maxBytes: 10_000_000 };

describe("readLogSettings", () => {
  it.each([{}, { PODLINK_LOG: "", PODLINK_LOG_LEVEL: "", PODLINK_LOG_SIZE: "" }])("has defaults for %j", (env) => {
    const notes: string[] = [];
    expect(readLogSettings(env, (note) => notes.push(note))).toEqual(defaults);
    expect(notes).toEqual([]);
  });

  it.each([
    [{ PODLINK_LOG: "/elsewhere" }, { path: "/elsewhere" }],
    [{ PODLINK_LOG: "off" }, { path: undefined }],
    [{ PODLINK_LOG_LEVEL: "all" }, { level: "all" }],
    [{ PODLINK_LOG_LEVEL: "errors" }, { level: "errors" }],
    [{ PODLINK_LOG_SIZE: "4096" }, { maxBytes: 4096 }],
    [{ PODLINK_LOG_SIZE: "500k" }, { maxBytes: 500_000 }],
    [{ PODLINK_LOG_SIZE: "2M" }, { maxBytes: 2_000_000 }],
  ])("reads %j", (env, changed) => {
    const notes: string[] = [];
    expect(readLogSettings(env, (note) => notes.push(note))).toEqual({ ...defaults, ...changed });
    expect(notes).toEqual([]);
  });

  it.each([
    { PODLINK_LOG_LEVEL: "ALL" },
    { PODLINK_LOG_LEVEL: "toString" },
    { PODLINK_LOG_SIZE: "0" },
    { PODLINK_LOG_SIZE: "-1" },
    { PODLINK_LOG_SIZE: "1.5M" },
    { PODLINK_LOG_SIZE: "10MB" },
    { PODLINK_LOG_SIZE: "k" },
    { PODLINK_LOG_SIZE: "9".repeat(400) },
  ])("falls back on the default for %j, and says so in one line", (env) => {
    const notes: string[] = [];
    expect(readLogSettings(env, (note) => notes.push(note))).toEqual(defaults);
    expect(notes).toHaveLength(1);
    expect(notes[0]).toContain(Object.keys(env)[0]);
  });
});
