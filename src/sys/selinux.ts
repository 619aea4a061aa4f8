import { existsSync, writeFileSync } from "node:fs";

/** Context in which the next program that this thread starts will run (proc(5)). */
const NEXT = "/proc/thread-self/attr/exec";

/** Whether SELinux is at work on this node: its file system is mounted then. */
export function hasSelinux(): boolean {
  return existsSync("/sys/fs/selinux/enforce");
}

/**
 * Runs `work` so that a program it starts gets the SELinux context, as runcon(1) does it.
 * @throws Error of the file system when the kernel knows no such context, or does not allow the change
 */
export function withNextContext<T>(context: string, work: () => T): T {
  writeFileSync(NEXT, context);
  try {
    return work();
  } finally {
    writeFileSync(NEXT, "\n"); // what clears it; the kernel takes no empty write
  }
}
