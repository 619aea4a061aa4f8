import { spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { libc } from "../../../src/sys/libc.ts";
import { Netns, withNetns } from "../../../src/sys/netns.ts";

const CLONE_NEWNET = 0x40000000; // linux/sched.h

/** Moves this process, and all it starts from now on, out of the machine's network namespace: what goes wrong does no harm. */
export function leaveMachine(): void {
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

  /** Does synchronous work in it. */
  inside<T>(work: () => T): T {
    using netns = Netns.open(this.netns);
    return withNetns(netns, work as () => never);
  }

  /** Runs `ip` in it, with a command in each line. */
  ip(...commands: readonly string[]): void {
    const { status, stderr } = this.inside(() =>
      spawnSync("ip", ["-batch", "-"], { input: commands.join("\n"), encoding: "utf8" }),
    );
    if (status !== 0) throw new Error(`Cannot prepare a namespace for the bench: ${stderr}`);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** A network namespace that plays a node: with a link to an outside and a default route, as every node has. */
export class Node extends Container {
  /** Knows no way to containers, only to the node. */
  readonly outside = new Container();

  constructor() {
    super();
    // the other end is made inside and moved: `ip` knows namespaces by name or by a process in them
    this.ip("link set lo up", "link add uplink0 up type veth peer name outside0");
    const path = this.outside.netns;
    this.ip(`link set outside0 netns ${path}`, "address add 192.0.2.1/24 dev uplink0", "route add default via 192.0.2.2");
    this.outside.ip("link set lo up", "link set outside0 up", "address add 192.0.2.2/24 dev outside0");
  }

  override [Symbol.dispose](): void {
    this.outside[Symbol.dispose]();
    super[Symbol.dispose]();
  }
}
