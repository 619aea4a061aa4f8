import { isObject, type JsonObject } from "../cni/json.ts";
import { printable } from "../support/printable.ts";

/** A call as call-log.ts wrote it down; what an earlier version or another hand left out is undefined. */
export interface LogEntry {
  readonly line: string;
  readonly containerId: string | undefined;
  readonly failed: boolean;
  readonly json: JsonObject;
}

/** @returns undefined for a line that is no JSON object: half of one, say, from when the disk was full */
export function parseLogLine(line: string): LogEntry | undefined {
  let json: unknown;
  try {
    json = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (!isObject(json)) return undefined;
  return { line, json, containerId: text(json.containerId), failed: isObject(json.error) };
}

/** As many characters of a container's ID as crictl shows. */
const CONTAINER_WIDTH = 13;

/** `2026-02-03T18:09:10.123Z  ADD     bridge      demo        4f1c0a7e2b9d3  default/web                12.3 ms  ok` */
export function formatLogEntry({ json, containerId }: LogEntry): string {
  const columns = [
    text(json.time)?.padEnd(24),
    text(json.command)?.padEnd(6),
    text(json.type)?.padEnd(10),
    (text(json.network) ?? "-").padEnd(10),
    (containerId ?? "-").slice(0, CONTAINER_WIDTH).padEnd(CONTAINER_WIDTH),
    (text(json.pod) ?? "-").padEnd(24),
    `${typeof json.ms === "number" ? json.ms.toFixed(1) : "-"} ms`.padStart(10),
    outcome(json),
  ];
  // what a runtime was told by others must not move a terminal's cursor
  return columns.map((column) => printable(column ?? "-")).join("  ");
}

function outcome({ error, warnings }: JsonObject): string {
  if (isObject(error)) {
    const details = text(error.details);
    return `error ${JSON.stringify(error.code)}: ${text(error.msg)}${details === undefined ? "" : `; ${details}`}`;
  }
  const warned = Array.isArray(warnings) ? warnings.filter((warning) => typeof warning === "string") : [];
  return warned.length === 0 ? "ok" : `ok, with warnings: ${warned.join("; ")}`;
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
