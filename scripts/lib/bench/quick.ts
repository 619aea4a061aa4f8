import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundle } from "../bundle.ts";
import { dist } from "../paths.ts";
import { ipam, plainBridge, podlink, withPorts } from "./attach.ts";
import { type Budget, budgets } from "./budgets.ts";
import { floor, loadFloor, versionCall, withProbe } from "./executables.ts";
import type { Bench } from "./figure.ts";
import { alternate } from "./measure.ts";
import { Network, type NetworkOptions, succeeded } from "./network.ts";
import { leaveMachine } from "./node.ts";
import { loadProbe } from "./probe.ts";
import { type Command, ended, start } from "./spawn.ts";

/** Measures what has a budget, prints a line for each, and answers whether all were held. */
export async function holdBudgets(): Promise<boolean> {
  leaveMachine();
  const scratch = mkdtempSync(join(tmpdir(), "podlink-bench-"));
  const bench: Bench = { bin: join(dist, "cni"), scratch, rounds: 25, seconds: 10 };
  try {
    const found = { ...(await overFloor(bench)), ...(await systemCalls(bench)), ...(await sizes(bench)) };
    const held = Object.entries(budgets).map(([name, most]) => {
      const value = found[name as Budget];
      const within = value <= most; // NaN is not
      const shown = Number.isInteger(value) ? value : value.toFixed(2);
      console.log(`${within ? "ok      " : "OVER    "}${name.padEnd(40)} ${shown} (at most ${most})`);
      return within;
    });
    return held.every(Boolean);
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

/** Processor time, not time: other processes that wait for the same cores do not count. Of the tenth percentile, which they disturb least. */
async function overFloor(bench: Bench) {
  const cpu = (command: Command) => () => ({ cpu: succeeded(command, ended([start(command)]).outcome).cpuMs });
  const load = { env: { CNI_COMMAND: "ADD" }, input: "{}", argv0: "bridge" };
  const { version, constant, modules, none } = alternate(
    {
      version: cpu({ program: join(bench.bin, "bridge"), ...versionCall }),
      constant: cpu({ program: await floor(bench.bin), ...versionCall }),
      modules: cpu({ program: await withProbe("load", loadProbe), ...load }),
      none: cpu({ program: await loadFloor(), ...load }),
    },
    bench,
  );
  const low = (measured: typeof version) => measured.cpu?.low ?? Number.NaN;
  return { "VERSION over the floor": low(version) / low(constant), "our modules over the floor": low(modules) / low(none) };
}

async function systemCalls(bench: Bench) {
  const base = count(bench, { program: await floor(bench.bin), ...versionCall }).calls;
  const version = count(bench, { program: join(bench.bin, "bridge"), ...versionCall }).calls;
  const loopback = attached(bench, { name: "loopback", ifname: "lo", plugins: () => [{ type: "loopback" }] });
  const bridge = attached(bench, { name: "bridge", plugins: () => [plainBridge(ipam(bench))] });
  const whole = attached(bench, { name: "podlink", plugins: () => withPorts([podlink(ipam(bench))], {}) });
  return {
    "system calls, VERSION": version - base,
    "system calls, loopback ADD": loopback.ADD - base,
    "system calls, loopback DEL": loopback.DEL - base,
    "system calls, bridge ADD": bridge.ADD - base,
    "system calls, bridge DEL": bridge.DEL - base,
    "system calls, podlink ADD": whole.ADD - base,
    "system calls, podlink DEL": whole.DEL - base,
  };
}

/** Of the second container: the first makes what is there for all. */
function attached(bench: Bench, options: Omit<NetworkOptions, "bin">): Record<"ADD" | "DEL", number> {
  using network = new Network(bench, { ...options, bin: bench.bin });
  const found = { ADD: Number.NaN, DEL: Number.NaN };
  for (const attachment of [network.attachment(1), network.attachment(2)]) {
    for (const verb of ["ADD", "DEL"] as const) {
      const commands = network.commands(verb, attachment);
      for (let step = commands.next(); step.done !== true; ) {
        const command = step.value;
        const { calls, outcome } = network.node.inside(() => count(bench, command));
        found[verb] = calls;
        step = commands.next(outcome);
      }
    }
  }
  return found;
}

/** Runs it under strace, which counts what its first thread asks of the kernel; how V8's other threads wait is not ours. */
function count({ scratch }: Bench, command: Command) {
  const file = join(scratch, "strace");
  const argv = [
    "-qq",
    "--summary-only",
    "--summary-columns=calls,name",
    "-e",
    `trace=!${waiting.join()}`,
    "-o",
    file,
    command.program,
  ];
  const traced = { ...command, program: "/usr/bin/strace", argv };
  const outcome = succeeded(traced, ended([start(traced)]).outcome);
  const calls = /^ *(\d+) total$/m.exec(readFileSync(file, "utf8"))?.[1];
  return { calls: Number(calls), outcome };
}

/** What a process does as often as its threads happen to meet, or as V8 finds its memory. */
const waiting = ["futex", "sched_yield", "mprotect", "madvise", "mmap", "munmap", "brk", "restart_syscall"];

async function sizes({ bin }: Bench) {
  const { code, scripts } = await bundle();
  const kilobytes = (text: string) => Buffer.byteLength(text) / 1024;
  return {
    "script of the core types, KB": kilobytes(scripts["core-types.cjs"]),
    "script of type podlink, KB": kilobytes(scripts["podlink-type.cjs"]),
    "script that every call starts with, KB": kilobytes(code),
    "executable, MB": statSync(join(bin, "podlink")).size / 2 ** 20,
  };
}
