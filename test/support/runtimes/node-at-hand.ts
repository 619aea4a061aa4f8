import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import { root } from "../../../scripts/lib/paths.ts";
import { bin } from "../executable.ts";
import { files, leases, nodeSnapshot, output } from "../node.ts";
import type { Outside } from "../outside.ts";
import type { Contained } from "./contained.ts";
import { runtimeDirectory } from "./packages.ts";

export const V4_GATEWAY = "10.93.0.1";
export const V6_GATEWAY = "fd00:93::1";

/** Where runtimes look for networks when they are told nothing else. */
const NETWORKS = "/etc/cni/net.d";

/** Installs the plugins where runtimes look for them, and the network that podlink comes with; it has IPv6 addresses here, too. */
export function install(): void {
  rmSync("/opt/cni", { recursive: true, force: true });
  mkdirSync("/opt/cni");
  symlinkSync(bin, "/opt/cni/bin");
  const list = JSON.parse(readFileSync(join(root, "conf/10-podlink.conflist"), "utf8"));
  list.plugins[0].ipam.ranges.push([{ subnet: "fd00:93::/64" }]);
  writeNetwork(list);
}

/** The only network there is. */
export function writeNetwork(list: unknown): void {
  rmSync(dirname(NETWORKS), { recursive: true, force: true });
  mkdirSync(NETWORKS, { recursive: true });
  writeFileSync(join(NETWORKS, "10-podlink.conflist"), JSON.stringify(list));
}

/** All that a pod may have left on the node, apart from what is the network's. */
export function remains(node: Contained): unknown {
  return {
    node: nodeSnapshot(),
    results: files("/var/lib/cni/results"),
    namespaces: node.run("ls", "/run/netns").stdout,
  };
}

export function expectNothingLeft(node: Contained, before: unknown): void {
  expect(leases()).toEqual([]);
  expect(files("/var/lib/cni/results")).toEqual([]);
  expect(remains(node)).toEqual(before);
  expect(redirected()).toEqual([]);
}

/** Connections that are led elsewhere than they were sent: those to host ports. */
function redirected(): string[] {
  const lines = output("conntrack", "-L").split("\n");
  return lines.filter((line) => {
    const [, sentTo, answeredFrom] = / dst=(\S+) .* src=(\S+) /.exec(line) ?? [];
    return sentTo !== answeredFrom;
  });
}

const LONGEST_ANSWER_MS = 10_000 * Number(process.env.PODLINK_SLOW ?? 1);

/** What an HTTP server answers; undefined when it does not. */
export function fetchFrom(outside: Outside, url: string): string | undefined {
  const argv = ["wget", "-q", "-O", "-", url];
  const busybox = join(runtimeDirectory("busybox"), "bin/busybox");
  const { status, stdout } = outside.sandbox.run(() =>
    spawnSync(busybox, argv, { encoding: "utf8", timeout: LONGEST_ANSWER_MS }),
  );
  return status === 0 ? stdout.trim() : undefined;
}

/** The command by which a container starts to answer every request for its page with a name; it ends when the server listens. */
export function serving(name: string): string[] {
  return ["sh", "-c", `echo ${name} >/tmp/index.html && httpd -p 80 -h /tmp </dev/null >/dev/null 2>&1`];
}

export function pinging(address: string): string[] {
  return ["ping", "-c", "1", "-W", "5", address];
}
