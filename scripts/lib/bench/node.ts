import { closeSync, openSync } from "node:fs";
import { libc } from "../../../src/sys/libc.ts";

const CLONE_NEWNET = 0x40000000; // linux/sched.h

/** Moves this process, and all it starts from now on, into a network namespace of its own that plays the node. */
export function becomeNode(): void {
  libc("unshare", CLONE_NEWNET);
}

/** A fresh network namespace at a path that any process can open, until it is disposed. */
export class Container implements Disposable {
  readonly #fd: number;

  constructor() {
    const home = openSync("/proc/thread-self/ns/net", "r");
    libc("unshare", CLONE_NEWNET);
    this.#fd = openSync("/proc/thread-self/ns/net", "r");
    libc("setns", home, CLONE_NEWNET);
    closeSync(home);
  }

  get netns(): string {
    return `/proc/${process.pid}/fd/${this.#fd}`;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}
