import { closeSync, openSync } from "node:fs";
import { onTestFinished } from "vitest";
import { libc } from "../../src/sys/libc.ts";
import { Netns, withNetns } from "../../src/sys/netns.ts";

const CLONE_NEWNET = 0x40000000;

/**
 * Moves this test process into a network namespace of its own, which plays the node. Kernel tests run one process per file;
 * the namespace goes with the process.
 */
export function becomeHost(): void {
  libc("unshare", CLONE_NEWNET);
}

/** A fresh network namespace that lives as long as the test, by a path that any process on the machine can open. */
export function makeContainer(): string {
  const home = openSync("/proc/thread-self/ns/net", "r");
  libc("unshare", CLONE_NEWNET);
  const fd = openSync("/proc/thread-self/ns/net", "r");
  libc("setns", home, CLONE_NEWNET);
  closeSync(home);
  onTestFinished(() => closeSync(fd));
  return `/proc/${process.pid}/fd/${fd}`;
}

/** Runs work with this thread inside the namespace at `path`. */
export function inside<T>(path: string, work: () => T): T {
  using netns = Netns.open(path);
  return withNetns(netns, work as () => never);
}
