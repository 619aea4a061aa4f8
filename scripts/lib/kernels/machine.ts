import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as wait } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { emulation, fileServer } from "./host.ts";
import { initramfs } from "./initramfs.ts";
import type { Kernel } from "./kernel.ts";

/** What became of a program in a virtual machine. */
export interface Ended {
  /** Its exit code; undefined when the machine went down before it ended. */
  readonly status: number | undefined;
  /** Whether the machine came so far that it was started. */
  readonly started: boolean;
  /** All that the machine wrote to its console. */
  readonly console: string;
  readonly timedOut: boolean;
  /** Content of a file that the program left in `/run/podlink-results`, or undefined. */
  readonly result: string | undefined;
}

export interface Task {
  /** Run in the repository, on this machine's files under an overlay in memory; this machine's stay as they are. */
  readonly argv: readonly string[];
  /** Name of the file to hand out. */
  readonly result: string;
  readonly limitMs: number;
}

const guest = fileURLToPath(new URL("guest.sh", import.meta.url));
const MEMORY = "3G";
/** Of a virtual machine, each emulated by a thread of its own. */
export const PROCESSORS = 2;
const SOCKETS_MS = 30_000;

/** Boots a kernel in qemu, without KVM, and runs one program there. Whatever happens, no process and no file stays. */
export async function runInMachine(kernel: Kernel, task: Task): Promise<Ended> {
  const initrd = await initramfs(kernel);
  const work = mkdtempSync(join(tmpdir(), "podlink-kernel-"));
  const results = join(work, "results");
  const children: ChildProcess[] = [];
  const clean = (): void => {
    for (const child of children) child.kill("SIGKILL");
    rmSync(work, { recursive: true, force: true });
  };
  const stop = (signal: NodeJS.Signals): void => {
    clean();
    process.removeListener(signal, stop);
    process.kill(process.pid, signal);
  };
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  for (const signal of signals) process.on(signal, stop);
  process.on("exit", clean);
  try {
    mkdirSync(results);
    writeFileSync(join(results, "argv"), task.argv.map((word) => `${word}\0`).join(""));
    const sockets = { outside: join(work, "outside.sock"), results: join(work, "results.sock") };
    children.push(serve("/", { socket: sockets.outside, cache: "always", work }));
    children.push(serve(results, { socket: sockets.results, cache: "auto", work }));
    await appear(Object.values(sockets), { work });
    const machine = bound([emulation().program, ...parameters(kernel, { initrd, sockets })], ["ignore", "pipe", "pipe"]);
    children.push(machine);
    const { lines, timedOut } = await ending(machine, task.limitMs);
    const read = (name: string): string | undefined =>
      existsSync(join(results, name)) ? readFileSync(join(results, name), "utf8") : undefined;
    const status = read("status");
    return {
      status: status === undefined ? undefined : Number(status),
      started: read("started") !== undefined,
      console: lines.join("\n"),
      timedOut,
      result: read(task.result),
    };
  } finally {
    for (const signal of signals) process.removeListener(signal, stop);
    process.removeListener("exit", clean);
    clean();
  }
}

/** Starts a program that the kernel kills when this process ends, however it ends. */
function bound(argv: readonly string[], stdio: readonly ("ignore" | "pipe" | number)[]): ChildProcess {
  return spawn("setpriv", ["--pdeathsig", "KILL", ...argv], { stdio: [...stdio] });
}

/**
 * Hands out a directory. `always`: the machine asks once for what it reads, and not again for what has changed since, without which each
 * program would take 100 ms longer to start.
 */
function serve(
  source: string,
  { socket, cache, work }: { socket: string; cache: "always" | "auto"; work: string },
): ChildProcess {
  const program = fileServer() ?? "";
  const log = openSync(join(work, "virtiofsd.log"), "a");
  // qemu's own took options in mount's style. Raising the limit of open files needs a capability that containers lack.
  const own = ["-o", `source=${source},sandbox=chroot,cache=${cache}`, "--rlimit-nofile=0"];
  const later = ["--shared-dir", source, "--sandbox", "chroot", "--cache", cache, "--rlimit-nofile", "0"];
  return bound(
    [program, `--socket-path=${socket}`, ...(program.startsWith("/usr/lib/qemu/") ? own : later)],
    ["ignore", log, log],
  );
}

async function appear(paths: readonly string[], { work }: { work: string }): Promise<void> {
  const deadline = Date.now() + SOCKETS_MS;
  while (!paths.every((path) => existsSync(path))) {
    if (Date.now() > deadline) throw new Error(`Cannot start virtiofsd: ${readFileSync(join(work, "virtiofsd.log"), "utf8")}`);
    await wait(20);
  }
}

function parameters(
  kernel: Kernel,
  { initrd, sockets }: { initrd: string; sockets: Readonly<Record<string, string>> },
): string[] {
  const { machine, console } = emulation();
  const files = Object.entries(sockets).flatMap(([tag, path]) => [
    ...["-chardev", `socket,id=${tag},path=${path}`],
    ...["-device", `vhost-user-fs-pci,chardev=${tag},tag=${tag}`],
  ]);
  const settings = [
    `console=${console}`,
    "quiet",
    // A kernel that is not sound any more is to stop, and a machine that restarts to end
    "oops=panic",
    "panic=-1",
    "mitigations=off",
    // qemu translates a program anew wherever it lies; at the same place it starts in half the time
    "norandmaps",
    "random.trust_cpu=on",
    `PODLINK_GUEST="${guest}"`,
    `PODLINK_KERNEL="${kernel.root}"`,
  ];
  return [
    ...["-machine", machine, "-accel", "tcg", "-cpu", "max", "-smp", String(PROCESSORS), "-m", MEMORY],
    ...["-object", `memory-backend-memfd,id=memory,size=${MEMORY},share=on`, "-numa", "node,memdev=memory"],
    ...["-kernel", kernel.image, "-initrd", initrd, "-append", settings.join(" ")],
    ...["-nodefaults", "-display", "none", "-monitor", "none", "-nic", "none", "-serial", "stdio", "-no-reboot"],
    ...files,
  ];
}

/** Prints what the machine says while it says it. */
async function ending(machine: ChildProcess, limitMs: number): Promise<{ lines: string[]; timedOut: boolean }> {
  const lines: string[] = [];
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    machine.kill("SIGKILL");
  }, limitMs);
  for (const stream of [machine.stdout, machine.stderr]) {
    if (stream === null) continue;
    createInterface({ input: stream }).on("line", (line) => {
      const text = line.replaceAll("\r", "");
      lines.push(text);
      console.log(text === "" ? "" : `  ${text}`);
    });
  }
  await new Promise<void>((resolve, reject) => machine.once("error", reject).once("close", () => resolve()));
  clearTimeout(timer);
  return { lines, timedOut };
}
