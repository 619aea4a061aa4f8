import { closeSync, constants, openSync, readFileSync, readSync, writeSync } from "node:fs";
import { shellWord } from "../support/shell-word.ts";
import { isErrno } from "../sys/errno.ts";
import type { NetworkNamespace } from "./namespace.ts";
import { collapse, sameSysctlValue } from "./sysctl-value.ts";

/** A value that a plugin sets by itself is a number. */
const LONGEST = 64;

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
 * Sets one `net/…` that must be so: it is written whatever it is now (writing `all` has effects of its own), and read again.
 * @throws SysctlRefusedError, or the error of the write
 */
export function setSysctl(namespace: NetworkNamespace, key: string, value: string): void {
  namespace.inside(() => {
    namespace.change(`sysctl -w ${shellWord(`${key}=${value}`)}`, () => writeExisting(key, `${value}\n`));
    const present = readOrRefused(key);
    if (present === undefined || sameSysctlValue(key, { wanted: value, present })) return;
    throw new SysctlRefusedError(`the kernel made "${collapse(present)}" of it`);
  });
}

/** As readSysctl; undefined also where the kernel lets nobody read it (`net/ipv4/route/flush`), or only once it has been set. */
export function readSysctlIfAllowed(namespace: NetworkNamespace, key: string): string | undefined {
  return namespace.inside(() => readOrRefused(key));
}

/** The kernel has no such setting, or not in this namespace (many are the node's alone), or it made something else of the value. */
export class SysctlRefusedError extends Error {}

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

/**
 * Reads and writes by one descriptor: to find the file the kernel compares the files of that name in all namespaces, 0.1 ms with 500 containers.
 * @returns false when this kernel has no such setting
 */
function write(namespace: NetworkNamespace, key: string, value: string): boolean {
  let fd: number | undefined;
  let refused: unknown;
  try {
    fd = openSync(file(key), constants.O_RDWR);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    refused = error; // which is no harm where the value is right
  }
  try {
    const present = fd === undefined ? read(key) : readText(fd);
    if (present === value) return true;
    namespace.change(`sysctl -w ${shellWord(key)}=${shellWord(value)}`, () => {
      if (fd === undefined) throw refused;
      writeSync(fd, value, 0);
    });
    return true;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

function readText(fd: number): string {
  const bytes = Buffer.allocUnsafe(LONGEST);
  return bytes.toString("utf8", 0, readSync(fd, bytes, 0, LONGEST, 0)).trim();
}

function read(key: string): string | undefined {
  try {
    return readFileSync(file(key), "utf8").trim();
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** As sysctl(8) does: with a newline, which makes an empty value one, and without O_CREAT, to which /proc answers EACCES. */
function writeExisting(key: string, text: string): void {
  const fd = openExisting(key);
  try {
    writeSync(fd, text);
  } finally {
    closeSync(fd);
  }
}

function openExisting(key: string): number {
  try {
    return openSync(file(key), constants.O_WRONLY);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
    throw new SysctlRefusedError(`this namespace has no "${key}"`, { cause: error });
  }
}

function readOrRefused(key: string): string | undefined {
  try {
    return read(key);
  } catch (error) {
    if (isErrno(error, "EACCES", "EPERM", "EIO")) return undefined;
    throw error;
  }
}

function file(key: string): string {
  return `/proc/sys/${key}`;
}
