import { spawn } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { FileLock } from "../../src/sys/file-lock.ts";
import type { Json } from "../support/call-plugin.ts";
import { bin, type Outcome, requireBuilt, start } from "../support/executable.ts";
import { FuzzedType } from "../support/fuzz/fuzzed-type.ts";
import { isSlow, isWhole, seed, tell } from "../support/fuzz/runs.ts";
import { WatchedHost } from "../support/fuzz/watched-host.ts";
import {
  freshNode,
  hideMachineState,
  ipJson,
  leases,
  nodeSnapshot,
  output,
  Sandbox,
  temporaryDirectory,
} from "../support/node.ts";

// A node that starts, drains, and does so for years; and a runtime that is stopped while it deletes.

/** A machine that is emulated would be at one of 25 for longer than the others wait for a lock. */
const AT_A_TIME = isSlow ? 10 : 25;
/** In all; each of the types does its part of them. */
const CYCLES = Number(process.env.PODLINK_CYCLES ?? (isSlow ? 20 : isWhole ? 2000 : 200));

const directory = temporaryDirectory();
beforeAll(() => {
  requireBuilt();
  hideMachineState();
});
beforeEach(freshNode);

interface Pod {
  readonly number: number;
  readonly id: string;
  readonly sandbox: Sandbox;
}

/** A network of each of the two types that attach most pods, with all that is kept of a pod outside of it. */
const networks: readonly { type: string; pods: number; config: Json; own: (pod: Pod) => Json }[] = [
  {
    type: "podlink",
    pods: isWhole ? 200 : 50,
    config: { bridge: "flood0", hostForward: true, capabilities: { portMappings: true, bandwidth: true } },
    own: ({ number }) => ({
      runtimeConfig: {
        portMappings: [{ hostPort: 20_000 + number, containerPort: 80, protocol: "tcp" }],
        bandwidth: { ingressRate: 1e8, ingressBurst: 1e8, egressRate: 1e8, egressBurst: 1e8 },
      },
    }),
  },
  {
    type: "bridge",
    pods: isWhole ? 200 : isSlow ? 50 : 100,
    config: { bridge: "flood0", isDefaultGateway: true, ipMasq: true, macspoofchk: true },
    own: () => ({}),
  },
];

function configOf({ type, config }: (typeof networks)[number], more: Json = {}): string {
  const ipam = { type: "host-local", ranges: [[{ subnet: "10.95.0.0/22" }], [{ subnet: "fd00:95::/64" }]] };
  return JSON.stringify({ cniVersion: "1.1.0", name: "flood", type, ipam, ...config, ...more });
}

function makePod(number: number): Pod {
  return { number, id: `pod-${number}`, sandbox: new Sandbox() };
}

function variables(command: string, pod?: Pod): Record<string, string> {
  const who = pod === undefined ? {} : { CNI_CONTAINERID: pod.id, CNI_NETNS: pod.sandbox.path, CNI_IFNAME: "eth0" };
  return { CNI_COMMAND: command, CNI_PATH: bin, PODLINK_LOG: "off", ...who };
}

function call(network: (typeof networks)[number], command: string, options: { pod?: Pod; more?: Json } = {}): Promise<Outcome> {
  const { pod, more } = options;
  const input = configOf(network, { ...(pod === undefined ? {} : network.own(pod)), ...more });
  return start(network.type, { env: variables(command, pod), input });
}

const silent = { status: 0, stdout: "", stderr: "" };

/** The node remembers for a while who has sent it packets. */
function settled(): unknown {
  const { network, ...rest } = nodeSnapshot() as { network: string[] };
  return { ...rest, network: network.filter((line) => !line.includes('"lladdr"')) };
}

describe.each(networks)("type $type", (network) => {
  /** Everything that is the network's own is there afterwards. */
  async function warmUp(): Promise<unknown> {
    const pod = makePod(0);
    expect(await call(network, "ADD", { pod })).toMatchObject({ status: 0 });
    expect(await call(network, "DEL", { pod })).toEqual(silent);
    pod.sandbox[Symbol.dispose]();
    return settled();
  }

  const { pods: count } = network;

  it(`${count} pods come and go ${AT_A_TIME} at a time, among GC and STATUS, and leave nothing`, async () => {
    const clean = await warmUp();
    const pods = Array.from({ length: count }, (_, number) => makePod(number + 1));
    const batches = Array.from({ length: count / AT_A_TIME }, (_, batch) =>
      pods.slice(batch * AT_A_TIME, (batch + 1) * AT_A_TIME),
    );
    /** What a runtime says meanwhile: those it is at work with are among the ones to keep. */
    const meanwhile = (alive: readonly Pod[]) => {
      const valid = alive.map(({ id }) => ({ containerID: id, ifname: "eth0" }));
      return [call(network, "GC", { more: { "cni.dev/valid-attachments": valid } }), call(network, "STATUS")];
    };
    const added: Outcome[] = [];
    for (const [index, batch] of batches.entries()) {
      const others = meanwhile(pods.slice(0, (index + 1) * AT_A_TIME));
      added.push(...(await Promise.all(batch.map((pod) => call(network, "ADD", { pod })))));
      for (const outcome of await Promise.all(others)) expect(outcome).toEqual(silent);
    }
    for (const outcome of added) expect(outcome).toMatchObject({ status: 0 });
    const addresses = added.flatMap(({ stdout }) =>
      JSON.parse(stdout).ips.map((ip: { address: string }) => ip.address.split("/")[0]),
    );
    expect(new Set(addresses).size).toBe(2 * count);
    expect(leases()).toHaveLength(2 * count);
    expect(ipJson("link", "show", "master", "flood0")).toHaveLength(count);
    expect(pods.at(-1)?.sandbox.ping(addresses[0])).toBe(true);
    for (const [index, batch] of batches.entries()) {
      const others = meanwhile(pods.slice(index * AT_A_TIME));
      const removed = await Promise.all(batch.map((pod) => call(network, "DEL", { pod })));
      for (const outcome of [...removed, ...(await Promise.all(others))]) expect(outcome).toEqual(silent);
    }
    for (const { sandbox } of pods) sandbox[Symbol.dispose]();
    expect(settled()).toEqual(clean);
    tell({ kind: "flood", what: `pods added and removed, ${AT_A_TIME} at a time`, count });
  });

  const cycles = CYCLES / networks.length;
  it(`${cycles} pods come and go one after the other, and nothing grows`, async () => {
    const cycle = async (number: number): Promise<void> => {
      const pod = makePod(number);
      expect(await call(network, "ADD", { pod })).toMatchObject({ status: 0 });
      expect(await call(network, "DEL", { pod })).toEqual(silent);
      pod.sandbox[Symbol.dispose]();
    };
    await cycle(0);
    const before = [settled(), kept()];
    for (let number = 1; number <= cycles; number++) await cycle(number);
    expect([settled(), kept()]).toEqual(before);
    tell({ kind: "flood", what: "pods added and removed one after the other", count: cycles });
  });

  it("a DEL that is told to stop goes on to its end, whenever it is told", async () => {
    const clean = await warmUp();
    const pod = makePod(1);
    const attach = async () => expect(await call(network, "ADD", { pod })).toMatchObject({ status: 0 });
    const del = (...strace: string[]) => {
      const argv = ["-f", "-qq", "-o", join(directory, "trace"), ...strace, join(bin, network.type)];
      const child = spawn("strace", argv, { env: variables("DEL", pod), stdio: "pipe" });
      child.stdin.end(configOf(network, network.own(pod)));
      return new Promise((resolve) => child.on("close", (status, signal) => resolve({ status, signal })));
    };
    await attach();
    expect(await del("-e", "trace=sendto,unlink,unlinkat")).toEqual({ status: 0, signal: null });
    const changes = (name: string) =>
      readFileSync(join(directory, "trace"), "utf8").match(new RegExp(`\\b${name}\\(`, "g"))?.length ?? 0;
    const points = ["sendto", "unlink"].flatMap((name) =>
      Array.from({ length: changes(name) }, (_, at) => ({ name, at: at + 1 })),
    );
    expect(points.length).toBeGreaterThan(3);
    const chosen = isWhole ? points : points.filter((_, index) => index % 5 === seed % 5);
    const signals = ["SIGTERM", "SIGHUP", "SIGINT"];
    for (const [index, { name, at }] of chosen.entries()) {
      await attach();
      const signal = signals[index % signals.length];
      const ended = await del("-e", `trace=${name}`, "-e", `inject=${name}:signal=${signal}:when=${at}`);
      expect(ended, `${signal} at ${name} ${at}`).toEqual({ status: 0, signal: null });
      expect(settled(), `${signal} at ${name} ${at}`).toEqual(clean);
    }
    pod.sandbox[Symbol.dispose]();
    tell({ kind: "flood", what: "DELs told to stop, which did not", count: chosen.length });
  });

  it.each(["SIGTERM", "SIGHUP", "SIGINT"] as const)("a DEL that waits for a lock does not end by %s", async (signal) => {
    const clean = await warmUp();
    const pod = makePod(1);
    expect(await call(network, "ADD", { pod })).toMatchObject({ status: 0 });
    const lock = FileLock.acquire("/var/lib/cni/networks/flood/lock", { timeoutMs: 0 });
    const child = spawn(join(bin, network.type), [], { env: variables("DEL", pod), stdio: "pipe" });
    const ended = new Promise((resolve) => child.on("close", (status, by) => resolve({ status, signal: by })));
    child.stdin.end(configOf(network, network.own(pod)));
    // The link goes first; what is left is the lease, for which it needs the lock
    while (ipJson("link", "show", "master", "flood0").length > 0) await new Promise(setImmediate);
    expect(leases()).toHaveLength(2);
    child.kill(signal);
    lock[Symbol.dispose]();
    expect(await ended).toEqual({ status: 0, signal: null });
    pod.sandbox[Symbol.dispose]();
    expect(settled()).toEqual(clean);
  });
});

/** What there is beside what a snapshot shows: files with their sizes, forwarding entries of bridges, namespaces, what waits to be sent. */
function kept(): unknown {
  const files = ["/var/lib", "/var/log", "/run"].flatMap((top) =>
    readdirSync(top, { recursive: true, encoding: "utf8" }).map((name) => join(top, name)),
  );
  // the memory of the last address goes round: 10.95.0.9 and 10.95.0.10 differ in length
  const size = (path: string) => {
    const stat = statSync(path, { throwIfNoEntry: false });
    return stat?.isFile() && !path.includes("last_reserved_ip") ? stat.size : undefined;
  };
  return {
    files: files.map((path) => [path, size(path)]).sort(),
    forwarding: output("bridge", "fdb", "show").split("\n").length,
    queues: output("tc", "qdisc", "show").split("\n").length,
  };
}

/** The process of this test's own, by its mount namespace, whose command line has these words. */
function ownProcess(words: string): string {
  const own = readlinkSync("/proc/thread-self/ns/mnt");
  const found = output("pgrep", "--full", words)
    .split("\n")
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/ns/mnt`) === own && readlinkSync(`/proc/${pid}/exe`).endsWith("/node");
      } catch {
        return false; // it has ended meanwhile
      }
    });
  expect(found).toHaveLength(1);
  return found[0] ?? "";
}

it(`the DHCP daemon is no larger after ${CYCLES} leases`, () => {
  const host = new WatchedHost(join(directory, "bin"));
  const fuzzed = new FuzzedType("dhcp", host);
  fuzzed.setUp();
  const daemon = ownProcess("dhcp daemon --broadcast");
  const config = Buffer.from(JSON.stringify(fuzzed.config("1.1.0")));
  const cycle = () => {
    for (const command of ["ADD", "DEL"]) expect(fuzzed.call(command, config)).toMatchObject({ exitCode: 0 });
  };
  const descriptors = () => readdirSync(`/proc/${daemon}/fd`).length;
  const resident = () => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${daemon}/status`, "utf8"))?.[1]);
  const warm = Math.min(50, CYCLES / 4);
  for (let count = 0; count < warm; count++) cycle(); // by then all of its code has run
  const [fds, kilobytes] = [descriptors(), resident()];
  for (let count = warm; count < CYCLES; count++) cycle();
  expect(descriptors()).toBeLessThan(fds + 10); // what the last one had open may not all be closed yet
  expect(resident(), "kB").toBeLessThan(kilobytes + 65_536); // the collector's slack; a leak of 32 KB a lease would show in 2,000
  expect(readdirSync("/var/lib/cni/dhcp")).toEqual([]);
  fuzzed.expectClean();
  fuzzed.dispose();
  tell({ kind: "flood", what: "leases of the DHCP daemon", count: CYCLES });
});
