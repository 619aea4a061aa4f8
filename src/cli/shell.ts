import type { Invoke } from "../runtime/invoke.ts";

/** Everything a command may touch of the process it runs in. */
export interface Shell {
  /** Arguments behind the executable's name. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute path of the working directory. */
  readonly cwd: string;
  /** Absolute path of the file this process runs. */
  readonly executable: string;
  /** podlink's own, `0.1.0`. */
  readonly version: string;
  /** Plugin types inside the executable. */
  readonly pluginTypes: readonly string[];
  readonly invoke: Invoke;
  /** Of this process. */
  readonly pid: number;
  /** From when it is called, SIGTERM and SIGINT do not end the process: what they want is told by keeping the promise. */
  untilStopped(): Promise<unknown>;
  /** Writes to stdout. @returns false when nobody reads it any more */
  out(text: string): boolean;
  /** Writes to stderr. */
  err(text: string): void;
}
