import { closeSync, openSync, readSync } from "node:fs";
import { libc } from "./libc.ts";

const CLOCK_BOOTTIME = 7; // linux/time.h

/**
 * Milliseconds since the machine was started, those it slept through included: the clock by which leases run out. All processes of a
 * machine share it, nobody sets it.
 */
export function bootClock(): number {
  const time = Buffer.alloc(16); // struct timespec
  libc("clock_gettime", CLOCK_BOOTTIME, time);
  return Number(time.readBigInt64LE(0)) * 1000 + Number(time.readBigInt64LE(8)) / 1e6;
}

/** What names the time since the machine was started; its clock and its namespaces mean nothing after. */
export function bootId(): string {
  const fd = openSync("/proc/sys/kernel/random/boot_id", "r");
  try {
    const bytes = Buffer.allocUnsafe(64);
    return bytes.toString("latin1", 0, readSync(fd, bytes, 0, bytes.length, 0)).trim();
  } finally {
    closeSync(fd);
  }
}

/** The beginning of bootId: enough to tell a boot from those before it. */
export function shortBootId(): string {
  return bootId().slice(0, 8);
}
