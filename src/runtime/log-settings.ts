export const defaultLog = "/var/log/podlink/podlink.log";
const defaultMaxBytes = 10_000_000;

/** Which calls are worth a line; a failed one is to each. */
const levels = ["all", "changes", "errors"] as const;
export type LogLevel = (typeof levels)[number];

export interface LogSettings {
  /** Undefined: no log is wanted. */
  readonly path: string | undefined;
  readonly level: LogLevel;
  /** Size from which on the file is put aside. */
  readonly maxBytes: number;
}

/**
 * Reads `PODLINK_LOG` (a path, or `off`), `PODLINK_LOG_LEVEL` and `PODLINK_LOG_SIZE` (bytes, or thousands with `k`, millions with `M`).
 * What cannot be used is replaced by its default and told to `note`: a log is no reason to refuse a call.
 */
export function readLogSettings(
  env: Readonly<Record<string, string | undefined>>,
  note: (message: string) => void = () => {},
): LogSettings {
  const { PODLINK_LOG: path = "", PODLINK_LOG_LEVEL: level = "", PODLINK_LOG_SIZE: size = "" } = env;
  const knownLevel = levels.find((one) => one === level);
  if (knownLevel === undefined && level !== "") {
    note(`PODLINK_LOG_LEVEL is ${JSON.stringify(level)}, not ${levels.join(", ")}: taking changes`);
  }
  const maxBytes = parseSize(size);
  if (maxBytes === undefined && size !== "") {
    note(`PODLINK_LOG_SIZE is ${JSON.stringify(size)}, not a size as 500k or 10M: taking 10M`);
  }
  return {
    path: path === "off" ? undefined : path === "" ? defaultLog : path,
    level: knownLevel ?? "changes",
    maxBytes: maxBytes ?? defaultMaxBytes,
  };
}

function parseSize(text: string): number | undefined {
  const [, digits = "", unit = ""] = /^([1-9]\d{0,14})([kM]?)$/.exec(text) ?? [];
  if (digits === "") return undefined;
  return Number(digits) * (unit === "M" ? 1e6 : unit === "k" ? 1e3 : 1);
}
