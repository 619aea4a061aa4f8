import { spawnSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, onTestFinished } from "vitest";
import { libc } from "../../src/sys/libc.ts";
import { becomeHost, inside } from "./namespaces.ts";
import { nftablesState } from "./nft.ts";

// linux/sched.h, linux/mount.h
const CLONE_NEWNS = 0x00020000;
const CLONE_NEWNET = 0x40000000;
const MS_REC = 16384n;
const MS_PRIVATE = 262144n;

/** Where plugins and the CLI keep their state; each is hidden under an empty file system. */
const hidden = ["/var/lib", "/var/log", "/run"];

const LEASES = "/var/lib/cni/networks";

/**
 * Hides the machine's own state from this process and its children, for good: leases, cached results, logs and named namespaces of the
 * machine are neither seen nor touched. Only synchronous file functions stay in the new mount namespace: others run in other threads.
 */
export function hideMachineState(): void {
  libc("unshare", CLONE_NEWNS);
  libc("mount", "none", "/", null, MS_REC | MS_PRIVATE, null);
  for (const path of hidden) libc("mount", "tmpfs", path, "tmpfs", 0n, null);
}

/** A program's output. @throws Error with its words when it fails */
export function output(program: string, ...parameters: string[]): string {
  const { error, status, stdout, stderr } = spawnSync(program, parameters, { encoding: "utf8" });
  if (error !== undefined) throw error;
  if (status !== 0)
    throw new Error(`${program} ${parameters.join(" ")}: ${stderr.trim() || stdout.trim() || `exit code ${status}`}`);
  return stdout;
}

/** `ip -json …`, read. */
export function ipJson<T = Record<string, unknown>>(...parameters: string[]): T[] {
  const text = output("ip", "-details", "-json", ...parameters);
  return text.trim() === "" ? [] : JSON.parse(text);
}

/** One network namespace, for the life of a test or longer. */
export class Sandbox implements Disposable {
  readonly #fd: number;
  #open = true;

  constructor() {
    const home = openSync("/proc/thread-self/ns/net", "r");
    try {
      libc("unshare", CLONE_NEWNET);
      this.#fd = openSync("/proc/thread-self/ns/net", "r");
      libc("setns", home, CLONE_NEWNET);
    } finally {
      closeSync(home);
    }
  }

  /** A path that any process of the machine can open. */
  get path(): string {
    return `/proc/${process.pid}/fd/${this.#fd}`;
  }

  run<T>(work: () => T): T {
    return inside(this.path, work);
  }

  ip(...parameters: string[]): string {
    return this.run(() => output("ip", ...parameters));
  }

  ipJson<T = Record<string, unknown>>(...parameters: string[]): T[] {
    return this.run(() => ipJson<T>(...parameters));
  }

  /** Sends one echo request; nothing is sent again. @returns whether the answer came */
  ping(address: string, options: { timeoutMs?: number; device?: string | undefined } = {}): boolean {
    const family = address.includes(":") ? "-6" : "-4";
    const parameters = [family, "-c", "1", "-W", String((options.timeoutMs ?? 2000) / 1000)];
    if (options.device !== undefined) parameters.push("-I", options.device);
    return this.run(() => spawnSync("ping", [...parameters, address])).status === 0;
  }

  sysctl(key: string): string {
    return this.run(() => readFileSync(`/proc/sys/${key}`, "utf8").trim());
  }

  /** Links, addresses and routes, without what changes by itself. */
  snapshot(): string[] {
    return this.run(networkSnapshot);
  }

  /** Once only: by the second time the number may be another file's. */
  [Symbol.dispose](): void {
    if (this.#open) closeSync(this.#fd);
    this.#open = false;
  }
}

/** A container's namespace that goes with the test. */
export function makeSandbox(): Sandbox {
  const sandbox = new Sandbox();
  onTestFinished(() => sandbox[Symbol.dispose]());
  return sandbox;
}

/** Puts this process into an empty network namespace that plays the node, with no lease left from an earlier one. */
export function freshNode(): void {
  becomeHost();
  output("ip", "link", "set", "lo", "up");
  for (const path of ["/var/lib/cni", "/run/cni"]) rmSync(path, { recursive: true, force: true });
}

/** All that calls of ours may have changed on the node, ready to be compared. */
export function nodeSnapshot(): unknown {
  const sysctls = ["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/ipv6/conf/default/accept_ra"];
  return {
    network: networkSnapshot(),
    sysctls: Object.fromEntries(sysctls.map((key) => [key, readFileSync(`/proc/sys/${key}`, "utf8").trim()])),
    leases: leases(),
    state: files("/run/cni"),
    // Those that attachments share stay for the next, and are made anew after GC: many.test.ts counts them
    nftables: nftablesState().filter((line) => !/^inet podlink (outside|from)_\w+: /.test(line)),
  };
}

/** `<network>/<address>` of every lease in the usual place; the memory of the last address and the lock are the network's. */
export function leases(directory = LEASES): string[] {
  try {
    const names = readdirSync(directory, { recursive: true, encoding: "utf8" });
    return names.filter((name) => name.includes("/") && !/\/(lock|last_reserved_ip\.\d+)$/.test(name)).sort();
  } catch {
    return [];
  }
}

/** Every file below a directory, by its path there. */
export function files(directory: string): string[] {
  try {
    const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
    return entries.flatMap((entry) => (entry.isDirectory() ? [] : [join(entry.parentPath, entry.name)])).sort();
  } catch {
    return [];
  }
}

/** A directory of the test file's own. */
export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "podlink-test-"));
  afterAll(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Writes down a network namespace's name below /run/netns, as `ip netns add` does, in this process's own mount namespace. */
export function nameSandbox(sandbox: Sandbox, name: string): string {
  mkdirSync("/run/netns", { recursive: true });
  const path = `/run/netns/${name}`;
  closeSync(openSync(path, "w"));
  libc("mount", sandbox.path, path, null, 4096n /* MS_BIND */, null);
  return path;
}

/** Takes the name away again, as `ip netns del` does. */
export function unnameSandbox(path: string): void {
  libc("umount2", path, 2 /* MNT_DETACH */);
  rmSync(path);
}

const queries = ["link show", "address show", "route show table all", "neighbour show nud all", "rule show"];

/** Links, addresses, routes, neighbours and IPv4 rules, a line each, without what changes by itself. */
function networkSnapshot(): string[] {
  const input = queries.map((query) => `${query}\n`).join("");
  const { status, stdout, stderr } = spawnSync("ip", ["-details", "-json", "-batch", "-"], { input, encoding: "utf8" });
  if (status !== 0) throw new Error(`ip -batch: ${stderr}`);
  const lists: Entry[][] = stdout.split(/^(?=\[)/m).map((text) => JSON.parse(text)); // one per query
  return lists.flatMap((list) => list.filter((entry) => !isPassing(entry)).map((entry) => JSON.stringify(steady(entry))));
}

type Entry = Readonly<Record<string, unknown>>;

/** Timers, counters (of those who need all packets of a link, too), and what follows a carrier with some delay. */
const unsteady =
  /timer$|^(operstate|promiscuity|allmulti|tentative|state|used|refcnt|probes|valid_life_time|preferred_life_time|topology_change.*)$/;

/** States of a neighbour that the kernel found by itself. */
const learnt = new Set(["INCOMPLETE", "REACHABLE", "STALE", "DELAY", "PROBE", "FAILED"]);

function steady(value: unknown, key = ""): unknown {
  if (Array.isArray(value)) {
    if (key === "flags") return value.filter((flag) => flag === "UP" || flag === "PROMISC");
    return value.filter((one) => !isPassing(one)).map((one) => steady(one));
  }
  if (typeof value !== "object" || value === null) return value;
  if ("ifname" in value && value.ifname === "lo") return { lo: steady("flags" in value ? value.flags : [], "flags") };
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, item]) => (unsteady.test(name) ? [] : [[name, steady(item, name)]])),
  );
}

/**
 * A link has its link-local address, and the routes of it, when its carrier has come, as the kernel's own routes to its addresses;
 * lo keeps what it was given when it was up; a neighbour that was learnt is forgotten after a while; the rule for VRFs comes
 * with the first one of a namespace and stays, because the kernel makes it only once.
 */
function isPassing(entry: unknown): boolean {
  if (typeof entry !== "object" || entry === null) return false;
  if ("l3mdev" in entry) return true;
  const {
    dst,
    local,
    dev,
    type,
    state = [],
  } = entry as Partial<Record<"dst" | "local" | "dev" | "type", string>> & {
    state?: readonly string[];
  };
  if (Array.isArray(state) && state.some((one) => learnt.has(one))) return true;
  return (
    type === "local" || type === "anycast" || dev === "lo" || /^(fe80|ff|multicast|2(2[4-9]|3\d)\.)/.test(dst ?? local ?? "")
  );
}
