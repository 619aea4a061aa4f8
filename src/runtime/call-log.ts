import type { Report } from "../cni/handle.ts";
import { appendLine } from "../support/log.ts";

export const defaultLog = "/var/log/podlink/podlink.log";

/** Runtimes poll the other verbs every few seconds; those are worth a line only when they fail. */
const LOGGED = new Set(["ADD", "DEL", "CHECK", "GC"]);

/**
 * Writes one JSON line about a call: when, which verb of which plugin type, for whom, how long, each change made, the error.
 * @param env `PODLINK_LOG` is another path or `off`; `TRACEPARENT` (W3C Trace Context) is repeated in the line
 */
export function logCall(report: Report, env: Readonly<Record<string, string | undefined>>): void {
  const path = env.PODLINK_LOG ?? "";
  if (path === "off" || (!LOGGED.has(report.command) && report.error === undefined)) return;
  appendLine(logLine(report, { now: new Date(), trace: env.TRACEPARENT }), { path: path === "" ? defaultLog : path });
}

/** Milliseconds are rounded to microseconds; keys without a value are left out. */
export function logLine(report: Report, { now, trace }: { now: Date; trace?: string | undefined }): string {
  const { ms, steps, error, ...who } = report;
  const changes = steps.map((step) => ({ ...step, ms: round(step.ms) }));
  return JSON.stringify({ time: now.toISOString(), ...who, trace, ms: round(ms), steps: changes, error });
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
