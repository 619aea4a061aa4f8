import { spawn, spawnSync } from "node:child_process";
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/lib/paths.ts";
import { writeDurably } from "../../src/support/durable-file.ts";

// DHCP servers and podlink's daemon as processes, in whatever namespaces the thread stands in, for tests that do not come back to the
// event loop while they wait.

/** A process that goes on until it is stopped, or until this one ends. */
export interface Running {
  /** All that it has said. */
  said(): string;
  /** Waits until it has said something that matches (an extended regular expression). @throws Error with what it said when it never does */
  heard(what: string): void;
  /** Sends it SIGTERM. */
  kill(): void;
}

const LONGEST_WAIT_S = String(30 * Number(process.env.PODLINK_SLOW ?? 1));

// Woken by inotify; a pipe would keep `tail` waiting for its next line
const listen = 'exec 3< <(tail -n +1 -f --pid="$2" "$0"); pid=$!; grep -q -m1 -E -- "$1" <&3; found=$?; kill $pid; exit $found';

// Between us and the program, because a program that gives up privileges no longer hears of its parent's death
const guard = '"$@" & child=$!; trap "kill $child" TERM; wait $child; wait $child';

/** Starts a program and waits until it has said `ready`. */
export function startUntil(ready: string, argv: readonly string[]): Running {
  const log = join(mkdtempSync("/run/podlink-test-"), "said"); // which is this process's own (hideMachineState), and goes with it
  const fd = openSync(log, "a");
  const child = spawn("setpriv", ["--pdeathsig", "TERM", "sh", "-c", guard, "sh", ...argv], { stdio: ["ignore", fd, fd] });
  closeSync(fd);
  child.unref();
  const running: Running = {
    said: () => readFileSync(log, "utf8"),
    heard(what) {
      const { status } = spawnSync("timeout", [LONGEST_WAIT_S, "bash", "-c", listen, log, what, String(child.pid)], {
        stdio: "ignore",
      });
      if (status !== 0) throw new Error(`${argv.join(" ")} never said "${what}": ${running.said()}`);
    },
    kill: () => void child.kill(),
  };
  running.heard(ready);
  return running;
}

/** Command line of podlink's tool from its source. */
export const podlinkCommand: readonly string[] = [
  process.execPath,
  "--disable-warning=ExperimentalWarning",
  join(root, "src/cli/entry.ts"),
];

/** Makes `podlink` a command of the shells that this process starts. */
export function putPodlinkOnPath(): void {
  const directory = join(root, ".cache/test-bin");
  mkdirSync(directory, { recursive: true });
  const text = `#!/bin/sh\nexec ${podlinkCommand.map((word) => `'${word}'`).join(" ")} "$@"\n`;
  writeDurably(join(directory, "podlink"), Buffer.from(text), { mode: 0o755 }); // other test files may be at the same
  const { PATH = "" } = process.env;
  if (!PATH.startsWith(`${directory}:`)) process.env.PATH = `${directory}:${PATH}`;
}

/** dnsmasq as a DHCP server on a link of the namespace this thread stands in. @param range first, last address, lease time */
export function startDnsmasq(link: string, range: string): Running {
  const place = [`--interface=${link}`, "--bind-interfaces", "--conf-file=/dev/null", "--user=root", "--pid-file="];
  const leases = ["--port=0", "--no-ping", "--leasefile-ro", "--dhcp-authoritative", `--dhcp-range=${range}`];
  const options = ["--dhcp-option=option:domain-name,lan.example", "--dhcp-option=option:dns-server,0.0.0.0"]; // itself
  return startUntil("DHCP, IP range", ["dnsmasq", "--keep-in-foreground", "--log-facility=-", ...place, ...leases, ...options]);
}

/** podlink's daemon, where the state directories of this process are. */
export function startDaemon(...flags: string[]): Running {
  return startUntil("listening on", [...podlinkCommand, "dhcp", "daemon", ...flags]);
}
