import { readFileSync } from "node:fs";
import { CniError, codes } from "../cni/error.ts";
import { quoteList } from "../cni/json.ts";
import { reason } from "../support/errors.ts";
import { isErrno } from "../sys/errno.ts";
import type { Sysctl } from "./sysctl-config.ts";

/** The administrator's say in what a configuration may set; where the file is not there, everything is allowed. */
const ALLOW_LIST = "/etc/cni/tuning/allowlist.conf";

/**
 * One regular expression (Go's) per line. A key, spelled as in the configuration (with `IFNAME`), must match one of them, and anywhere:
 * without `^`, `$` and `\.` a line allows more than it seems to, but lists that are in use must keep their meaning.
 */
export interface AllowList {
  readonly file: string;
  /** Without white space around them, and without empty ones. */
  readonly lines: readonly string[];
}

/** @returns undefined where there is no list */
export function readAllowList(file = ALLOW_LIST): AllowList | undefined {
  try {
    const lines = readFileSync(file, "utf8").split("\n");
    return { file, lines: lines.map((line) => line.trim()).filter((line) => line !== "") };
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw new Error(`Cannot read the list of allowed sysctls "${file}": ${reason(error)}`, { cause: error });
  }
}

/** @throws CniError 7 that names the first sysctl that is not on the list, or the line before a match that is no regular expression */
export function requireAllowed({ file, lines }: AllowList, sysctls: readonly Sysctl[]): void {
  for (const { key, value } of sysctls) {
    if (lines.some((line) => compile(line, file).test(key))) continue;
    throw new CniError(
      codes.invalidConfig,
      `Cannot set sysctl "${key}" to "${value}": Sysctl ${key} is not allowed by "${file}"`,
      {
        details: `Only the following sysctls are allowed: ${quoteList(lines)}`,
      },
    );
  }
}

function compile(line: string, file: string): RegExp {
  try {
    return fromGo(line);
  } catch (error) {
    throw new CniError(codes.invalidConfig, `Cannot use "${line}" of "${file}": ${reason(error)}`, { cause: error });
  }
}

/** POSIX classes, as they stand between the brackets of a class. */
const posix: Readonly<Record<string, string>> = {
  alnum: "0-9A-Za-z",
  alpha: "A-Za-z",
  blank: "\\t ",
  digit: "0-9",
  lower: "a-z",
  punct: "!-\\/:-@\\[-`{-~",
  space: "\\s",
  upper: "A-Z",
  word: "\\w",
  xdigit: "0-9A-Fa-f",
};

/**
 * A regular expression of Go's (RE2) as JavaScript writes it. What JavaScript would read as something else is translated or refused.
 * @throws Error with the part that neither knows
 */
export function fromGo(source: string): RegExp {
  const [, flags = "", body = ""] = /^(?:\(\?([is]+)\))?(.*)$/s.exec(source) ?? [];
  const translated = body.replace(
    /\\(.)|\[:(\^?)(\w+):\]|\(\?P</gs,
    (part, escaped?: string, negated?: string, name?: string) => {
      if (part === "(?P<") return "(?<";
      if (name !== undefined) {
        const members = negated === "" ? posix[name] : undefined;
        if (members === undefined) throw new Error(`"${part}" is not supported`);
        return members;
      }
      if (part === "\\A") return "^";
      if (part === "\\z") return "$";
      if (escaped !== undefined && /[a-zA-Z]/.test(escaped) && !/[dDsSwWbBfnrtvx]/.test(escaped))
        throw new Error(`"${part}" is not supported`);
      return part;
    },
  );
  return new RegExp(translated, flags);
}
