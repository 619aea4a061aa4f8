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
  return namespace.inside(() => Object.entries(values).flatMap(([key, value]) => (write(namespace, key, value) ? [] : [key])));
}

/**
 * As writeSysctls, for settings that are good to have: where /proc/sys is read-only, as it is for a node that is itself a container of a
 * careful runtime, the failure stands in the record of steps and nowhere else.
 */
export function preferSysctls(namespace: NetworkNamespace, values: Readonly<Record<string, string>>): void {
  namespace.inside(() => {
    for (const [key, value] of Object.entries(values)) {
      try {
        write(namespace, key, value);
      } catch (error) {
        if (!isErrno(error, "EROFS", "EACCES", "EPERM")) throw error;
      }
    }
  });
}

/** @returns false when this kernel has no such setting */
function write(namespace: NetworkNamespace, key: string, value: string): boolean {
  const present = read(key);
  if (present === undefined) return false;
  if (present !== value) namespace.change(`sysctl -w ${key}=${value}`, () => writeFileSync(file(key), value));
  return true;
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
