import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Json } from "../call-plugin.ts";
import { bin, type Outcome } from "../executable.ts";

// One call of the built executable under strace: the system calls by which it can change anything, and faults put into one of them.

/** System calls that can change something outside of the process, and those that tell what their descriptors are. */
const watched = [
  ...["socket", "sendto", "sendmsg", "connect", "ioctl", "setns", "mount", "umount2"],
  ...["openat", "open", "creat", "write", "pwrite64", "writev", "ftruncate", "truncate", "fallocate"],
  ...["rename", "renameat", "renameat2", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat", "mknodat"],
  ...[
    "link",
    "linkat",
    "symlink",
    "symlinkat",
    "chmod",
    "fchmod",
    "fchmodat",
    "chown",
    "fchown",
    "lchown",
    "fchownat",
    "utimensat",
  ],
];

/** One system call of the process's first thread, which does all the work. */
export interface Syscall {
  readonly name: string;
  /** How many calls of that name the thread has made with this one: what `inject=…:when=` counts. */
  readonly ordinal: number;
  /** As strace writes it, from the parenthesis on. */
  readonly text: string;
  /** What was written or sent. */
  readonly bytes: Buffer;
  /** Undefined where the process did not live to see it. */
  readonly result: number | undefined;
}

/** What is called, and how. */
export interface TracedCall {
  readonly type: string;
  readonly env: Readonly<Record<string, string>>;
  readonly config: Json;
}

/** Something that happens to one system call in place of what it does. */
export interface Fault {
  readonly name: string;
  readonly ordinal: number;
  /** SIGKILL at its entry, before it takes effect, or an error by name. */
  readonly kind: "KILL" | (string & {});
}

export interface Traced extends Outcome {
  readonly killed: boolean;
  readonly syscalls: readonly Syscall[];
}

/** Calls the executable through another program, which makes the kernel refuse by itself what it would allow. */
export function callThrough(prefix: readonly [string, ...string[]], { type, env, config }: TracedCall): Outcome {
  const [program, ...parameters] = prefix;
  const answer = spawnSync(program, [...parameters, join(bin, type)], {
    env: { PATH: process.env.PATH, ...env },
    input: JSON.stringify(config),
    encoding: "utf8",
    cwd: "/",
  });
  if (answer.error !== undefined && !("code" in answer.error && answer.error.code === "EPIPE")) throw answer.error;
  return answer;
}

/** Calls the executable; never with --seccomp-bpf, with which strace injects no signal. */
export function trace({ type, env, config }: TracedCall, fault?: Fault): Traced {
  const directory = mkdtempSync(join(tmpdir(), "podlink-trace-"));
  try {
    const variables = Object.entries(env).flatMap(([name, value]) => ["-E", `${name}=${value}`]);
    const what = fault?.kind === "KILL" ? "signal=KILL" : `error=${fault?.kind}`;
    const inject = fault === undefined ? [] : ["-e", `inject=${fault.name}:${what}:when=${fault.ordinal}`];
    const output = ["-ff", "-y", "-qq", "-s", "0", "-e", "signal=none", "-e", "write=all", "-o", join(directory, "thread")];
    const watch = ["-e", `trace=${watched.join(",")}`];
    const answer = spawnSync("strace", [...output, ...watch, ...inject, ...variables, join(bin, type)], {
      env: {},
      input: JSON.stringify(config),
      encoding: "utf8",
      cwd: "/",
    });
    if (answer.error !== undefined && !("code" in answer.error && answer.error.code === "EPIPE")) throw answer.error;
    const { status, stdout, stderr, signal } = answer;
    return { status, stdout, stderr, killed: signal === "SIGKILL", syscalls: readSyscalls(firstThread(directory)) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** strace writes a file for each thread, named by its number; the first has the lowest. */
function firstThread(directory: string): string {
  const numbers = readdirSync(directory).map((name) => Number(name.slice("thread.".length)));
  return readFileSync(join(directory, `thread.${Math.min(...numbers)}`), "latin1");
}

/** `name(…) = result`, and below it a line ` | 00000  34 00 …  text |` for every 16 bytes sent. */
function readSyscalls(text: string): Syscall[] {
  const counts = new Map<string, number>();
  const found: { name: string; ordinal: number; text: string; lines: string[]; result: number | undefined }[] = [];
  for (const line of text.split("\n")) {
    const [, name, rest] = /^(\w+)(\(.*)$/.exec(line) ?? [];
    if (name !== undefined && rest !== undefined) {
      const ordinal = (counts.get(name) ?? 0) + 1;
      counts.set(name, ordinal);
      // A restarted call took no effect yet: a sysctl's writer waits for a lock of the kernel's in this way
      const result = rest.includes(" = ? ERESTART") ? "-1" : / = (-?\d+)\b[^=]*$/.exec(rest)?.[1];
      found.push({ name, ordinal, text: rest, lines: [], result: result === undefined ? undefined : Number(result) });
    } else if (line.startsWith(" | ")) found.at(-1)?.lines.push(line.slice(10, 60));
  }
  return found.map(({ lines, ...call }) => ({ ...call, bytes: Buffer.from(lines.join("").replaceAll(/\s/g, ""), "hex") }));
}
