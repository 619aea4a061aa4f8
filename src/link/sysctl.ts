import { readFileSync, writeFileSync } from "node:fs";
import { isErrno } from "../sys/errno.ts";
import type { NetworkNamespace } from "./namespace.ts";

/** The value of `net/…`, or undefined where this kernel does not have it (IPv6 switched off, say). */
export function readSysctl(namespace: NetworkNamespace, key: string): string | undefined {
  return namespace.inside(() => read(key));
}

/**
 * Sets each `net/…` that is not so already, in order, with one visit to the namespace.
 * @returns the keys this kernel does not have
 */
export function writeSysctls(namespace: NetworkNamespace, values: Readonly<Record<string, string>>): string[] {
  return namespace.inside(() => {
    const missing: string[] = [];
    for (const [key, value] of Object.entries(values)) {
      const present = read(key);
      if (present === undefined) missing.push(key);
      else if (present !== value) namespace.change(`sysctl -w ${key}=${value}`, () => writeFileSync(file(key), value));
    }
    return missing;
  });
}

function read(key: string): string | undefined {
  try {
    return readFileSync(file(key), "utf8").trim();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

function file(key: string): string {
  return `/proc/sys/${key}`;
}
