import { getRawPointer } from "node:ffi";
import { closeSync, readSync, writeSync } from "node:fs";
import { system } from "./system.ts";

const O_CLOEXEC = 0o2000000;
const MFD_CLOEXEC = 1;
const POSIX_SPAWN_SETSIGDEF = 4; // spawn.h
const SIZES = { fileActions: 80, attributes: 336, signals: 128, usage: 144 }; // glibc, in bytes

export interface Command {
  readonly program: string;
  readonly env: Readonly<Record<string, string>>;
  readonly input: string;
  readonly argv?: readonly string[];
  /** Its name, when that is not the path. */
  readonly argv0?: string;
}

/** What became of a process, from before its start until it ended and nobody held its output any more. */
export interface Ended {
  readonly ms: number;
  /** Processor time of it and of all it started and waited for. */
  readonly cpuMs: number;
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** What it wrote to descriptor 3. */
  readonly told: string;
}

/** A process that was started and is not waited for yet. */
interface Started {
  readonly pid: number;
  readonly at: number;
  readonly outputs: readonly number[];
}

/**
 * Starts a program as a container runtime does (output into pipes, which a runtime reads to their end), by posix_spawn: Node's own way
 * takes longer than some of the programs. It gets descriptors 0 to 3, and SIGPIPE as it is by default.
 */
export function start({ program, env, input, argv = [], argv0 = program }: Command): Started {
  const stdin = system("memfd_create", "input", MFD_CLOEXEC);
  if (input !== "") writeSync(stdin, input, 0); // at a position, so that the child reads from the start
  const pipes = [1, 2, 3].map(() => pipe());
  const actions = Buffer.alloc(SIZES.fileActions);
  system("posix_spawn_file_actions_init", actions);
  for (const [at, fd] of [stdin, ...pipes.map(({ to }) => to)].entries()) {
    system("posix_spawn_file_actions_adddup2", actions, fd, at);
  }
  const attributes = Buffer.alloc(SIZES.attributes);
  system("posix_spawnattr_init", attributes);
  system("posix_spawnattr_setflags", attributes, POSIX_SPAWN_SETSIGDEF);
  system("posix_spawnattr_setsigdefault", attributes, Buffer.alloc(SIZES.signals, 0xff));
  const parameters = vector([argv0, ...argv]);
  const environment = vector(Object.entries(env).map(([key, value]) => `${key}=${value}`));
  const pid = Buffer.alloc(4);
  const at = monotonicMs();
  const error = system("posix_spawn", pid, program, actions, attributes, parameters, environment);
  for (const fd of [stdin, ...pipes.map(({ to }) => to)]) closeSync(fd);
  system("posix_spawn_file_actions_destroy", actions);
  if (error !== 0) throw new Error(`Cannot start "${program}": errno ${error}`);
  return { pid: pid.readInt32LE(), at, outputs: pipes.map(({ from }) => from) };
}

/** Waits for one of these (for whichever ends first). */
export function ended(running: readonly Started[]): { process: Started; outcome: Ended } {
  const status = Buffer.alloc(4);
  const usage = Buffer.alloc(SIZES.usage);
  const only = running.length === 1 ? running[0] : undefined;
  const pid = system("wait4", only?.pid ?? -1, status, 0, usage);
  const process = running.find((one) => one.pid === pid);
  if (process === undefined) return ended(running); // a child of somebody else's
  const [stdout = "", stderr = "", told = ""] = process.outputs.map(drain);
  const ms = monotonicMs() - process.at;
  const [userS, userUs, systemS, systemUs] = [0, 8, 16, 24].map((at) => Number(usage.readBigInt64LE(at))); // two struct timeval
  const cpuMs = ((userS ?? 0) + (systemS ?? 0)) * 1000 + ((userUs ?? 0) + (systemUs ?? 0)) / 1000;
  const code = status.readInt32LE();
  return { process, outcome: { ms, cpuMs, status: code % 128 === 0 ? code >> 8 : -(code % 128), stdout, stderr, told } };
}

/** Milliseconds on the clock that all processes share. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

function pipe(): { from: number; to: number } {
  const both = Buffer.alloc(8);
  system("pipe2", both, O_CLOEXEC);
  return { from: both.readInt32LE(0), to: both.readInt32LE(4) };
}

/** Strings as C has them: an array of pointers with a null at its end, and behind it, in the same bytes, the strings. */
function vector(strings: readonly string[]): Buffer {
  const texts = strings.map((text) => Buffer.from(`${text}\0`));
  const all = Buffer.concat([Buffer.alloc((texts.length + 1) * 8), ...texts]);
  let address = getRawPointer(all) + BigInt((texts.length + 1) * 8);
  for (const [at, { length }] of texts.entries()) {
    all.writeBigUInt64LE(address, at * 8);
    address += BigInt(length);
  }
  return all;
}

function drain(fd: number): string {
  const parts: Buffer[] = [];
  for (;;) {
    const part = Buffer.alloc(65_536);
    const length = readSync(fd, part);
    if (length === 0) break;
    parts.push(part.subarray(0, length));
  }
  closeSync(fd);
  return Buffer.concat(parts).toString();
}
