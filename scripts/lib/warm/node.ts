import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { libc } from "../../../src/sys/libc.ts";
import { root } from "../paths.ts";
import { type Answer, type Container, type Network, Runtime } from "./runtime.ts";

/** linux/sched.h */
const CLONE_NEWNET = 0x40000000;

/** Where plugins keep state. */
const hidden = ["/var/lib", "/var/log", "/run"];
const scratch = "/run";

/**
 * Attaches containers to the networks of conf/ and detaches them again, which is what a node does all day; what else plugins can do is not
 * called, and would make what comes of it larger and slower to load. This process stands in namespaces of its own (network and mounts).
 * What its kernel cannot do ends that network's turn.
 */
export function playNode(answer: Answer): void {
  const names = readdirSync(join(root, "conf")).filter((name) => name.endsWith(".conflist"));
  const networks = names.map((name): Network => JSON.parse(readFileSync(join(root, "conf", name), "utf8")));
  for (const path of hidden) libc("mount", "tmpfs", path, "tmpfs", 0n, null);
  const bin = join(scratch, "bin");
  mkdirSync(bin);
  // found to be the file that this process runs, as a delegate is that is podlink itself
  for (const type of ["host-local", "static"]) symlinkSync("/proc/self/exe", join(bin, type));
  const runtime = new Runtime(answer, { bin, scratch });
  const node = makeNamespace();
  // What is around the node has the node for a container: so it gets an uplink and a default route
  for (const network of networks.filter(({ name }) => name === "routed")) runtime.add(network, { id: "node", netns: node });
  enter(node);
  for (const network of networks) {
    for (const cniVersion of ["1.0.0", "1.1.0"]) attachTwo({ ...network, cniVersion }, runtime);
  }
}

/** The second container finds what the first has made. */
function attachTwo(network: Network, runtime: Runtime): void {
  runtime.version(network);
  const containers: Container[] = ["one", "two"].map((id) => ({ id, netns: makeNamespace() }));
  const results = containers.map((container) => runtime.add(network, container));
  for (const [at, container] of containers.entries()) runtime.del(network, container, results[at]);
}

/** A network namespace that goes with this process; answers a path of it. */
function makeNamespace(): string {
  const home = openSync("/proc/thread-self/ns/net", "r");
  libc("unshare", CLONE_NEWNET);
  const fd = openSync("/proc/thread-self/ns/net", "r");
  libc("setns", home, CLONE_NEWNET);
  closeSync(home);
  return `/proc/${process.pid}/fd/${fd}`;
}

function enter(path: string): void {
  const fd = openSync(path, "r");
  libc("setns", fd, CLONE_NEWNET);
  closeSync(fd);
}
