import type { Report } from "../cni/handle.ts";
import { formatUtc } from "../support/clock.ts";
import { appendLine } from "../support/log.ts";
import { type LogLevel, readLogSettings } from "./log-settings.ts";

/** Runtimes poll the other verbs every few seconds. */
const CHANGES = new Set(["ADD", "DEL", "CHECK", "GC"]);

/**
 * Writes one JSON line about a call: when, which verb of which plugin type, for whom, how long, each change made, warnings, the error.
 * @param env what log-settings.ts reads; `TRACEPARENT` (W3C Trace Context) is repeated in the line
 * @returns what of the settings cannot be used, for people
 */
export function logCall(report: Report, env: Readonly<Record<string, string | undefined>>): string[] {
  const notes: string[] = [];
  const { path, level, maxBytes } = readLogSettings(env, (message) => notes.push(message));
  if (path !== undefined && isWanted(report, level)) {
    appendLine(logLine(report, { now: Date.now(), trace: env.TRACEPARENT }), { path, maxBytes });
  }
  return notes;
}

/** `now` is milliseconds since 1970. Milliseconds are rounded to microseconds; keys without a value are left out. */
export function logLine(report: Report, { now, trace }: { now: number; trace?: string | undefined }): string {
  const { ms, steps, warnings, error, ...who } = report;
  const changes = steps.map((step) => ({ ...step, ms: round(step.ms) }));
  return JSON.stringify({ time: formatUtc(now), ...who, trace, ms: round(ms), steps: changes, warnings, error });
}

function isWanted({ command, error }: Report, level: LogLevel): boolean {
  if (error !== undefined || level === "all") return true;
  return level === "changes" && CHANGES.has(command);
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
