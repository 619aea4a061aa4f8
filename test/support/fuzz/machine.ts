import { mkdirSync, mkdtempSync, readFileSync, rmdirSync } from "node:fs";
import { cache, root } from "../../../scripts/lib/paths.ts";
import { libc } from "../../../src/sys/libc.ts";
import { hideMachineState } from "../node.ts";
import { rememberInputs } from "./runs.ts";

// linux/mount.h
const MS_RDONLY = 1n;
const MS_REMOUNT = 32n;
const MS_BIND = 4096n;
const MS_REC = 16384n;
const MNT_DETACH = 2;

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
  libc("mount", "none", cache, "tmpfs", 0n, null);
  coverTmp();
}

/** The repository stays where it is, be it below /tmp. */
function coverTmp(): void {
  const aside = mkdtempSync("/run/podlink-root-");
  libc("mount", root, aside, null, MS_BIND | MS_REC, null);
  libc("mount", "none", "/tmp", "tmpfs", 0n, null);
  if (root.startsWith("/tmp/")) {
    mkdirSync(root, { recursive: true });
    libc("mount", aside, root, null, MS_BIND | MS_REC, null);
  }
  libc("umount2", aside, MNT_DETACH);
  rmdirSync(aside);
}

function mountPoints(): string[] {
  const lines = readFileSync("/proc/thread-self/mountinfo", "utf8").trimEnd().split("\n");
  return [...new Set(lines.map((line) => (line.split(" ")[4] ?? "").replaceAll("\\040", " ")))];
}
