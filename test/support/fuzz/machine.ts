import { readFileSync } from "node:fs";
import { cache } from "../../../scripts/lib/paths.ts";
import { libc } from "../../../src/sys/libc.ts";
import { hideMachineState } from "../node.ts";
import { rememberInputs } from "./runs.ts";

// linux/mount.h
const MS_RDONLY = 1n;
const MS_REMOUNT = 32n;
const MS_BIND = 4096n;

/** What the whole machine has only once, and hostile input may name. */
const shared = ["/proc/sys/kernel", "/proc/sys/vm", "/proc/sys/fs"];

/**
 * Hides the machine's state, and lets nothing of the rest be written by this thread and the programs it runs: a path that hostile input
 * leads to is an error then, and no harm. /tmp and the directory of downloads are empty and this process's own.
 */
export function protectMachine(): void {
  rememberInputs();
  hideMachineState();
  for (const path of shared) libc("mount", path, path, null, MS_BIND, null);
  for (const point of mountPoints()) {
    if (point === "/" || shared.includes(point) || !/^\/(proc|sys|dev|run|var\/lib|var\/log)(\/|$)/.test(point)) {
      libc("mount", "none", point, null, MS_REMOUNT | MS_BIND | MS_RDONLY, null);
    }
  }
  for (const path of [cache, "/tmp"]) libc("mount", "none", path, "tmpfs", 0n, null);
}

function mountPoints(): string[] {
  const lines = readFileSync("/proc/thread-self/mountinfo", "utf8").trimEnd().split("\n");
  return [...new Set(lines.map((line) => (line.split(" ")[4] ?? "").replaceAll("\\040", " ")))];
}
