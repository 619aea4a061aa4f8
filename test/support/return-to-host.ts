import { closeSync, openSync } from "node:fs";
import type { Sandbox } from "./node.ts";

/**
 * What the kernel does with hardware when its namespace ends, and with no veth pair, which plays the part in a test: the link goes
 * back to the host, where its name is taken under another.
 * @param options.as its name there; `dev%d` leaves the number to the kernel
 */
export function returnToHost(sandbox: Sandbox, options: { as: string }): void {
  const home = openSync("/proc/thread-self/ns/net", "r");
  try {
    sandbox.ip("link", "set", "eth0", "netns", `/proc/${process.pid}/fd/${home}`, "name", options.as);
  } finally {
    closeSync(home);
  }
}
