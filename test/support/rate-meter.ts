import { getRawPointer } from "node:ffi";
import { closeSync } from "node:fs";
import { onTestFinished } from "vitest";
import { isErrno } from "../../src/sys/errno.ts";
import { libc } from "../../src/sys/libc.ts";
import type { Sandbox } from "./node.ts";

// linux/if_packet.h, asm-generic/socket.h, asm-generic/sockios.h
const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SIOCGSTAMPNS = 0x8907n;
const POLLIN = 1;

/** IEEE 802: for experiments on a wire of one's own; frames.ts has the other one. */
const EXPERIMENTAL = 0x88b6;

/** Bytes of each frame, header included, as the kernel's queues count them. */
const FRAME_BYTES = 1000;

/** Longer than any queue here holds a frame back. */
const SILENCE_MS = 1500;

/** What arrived, and when by the kernel's clock. */
export interface Measurement {
  /** Bytes per second, of what came after the burst. */
  readonly rate: number;
  /** Bytes of all frames that came. */
  readonly received: number;
  /** How long it took to hand the frames to the kernel; a sender that was held up lets the bucket fill again. */
  readonly sendingMs: number;
}

/**
 * Sends frames from one container's `eth0` to another's, all at once: the burst passes, the rest waits in the kernel's queue and comes out
 * at the rate. What comes is dated by the kernel on arrival, so it does not matter when this process reads it.
 * @param options.bytes to send in all
 * @param options.skip bytes of the burst, and as much more as the start may be uneven
 */
export function measureRate(from: Sandbox, to: Sandbox, options: { bytes: number; skip: number }): Measurement {
  const target = openSocket(to);
  const source = openSocket(from);
  const frame = Buffer.alloc(FRAME_BYTES);
  frame.set(macOf(to), 0);
  frame.set(macOf(from), 6);
  frame.writeUInt16BE(EXPERIMENTAL, 12);
  const send = () => libc("sendto", source, frame, BigInt(frame.length), 0);
  const count = Math.floor(options.bytes / FRAME_BYTES);

  requestDates(target);
  send();
  arrival(target); // bridge and dates work from here on
  const started = process.hrtime.bigint();
  for (let i = 0; i < count; i++) send();
  const sendingMs = Number(process.hrtime.bigint() - started) / 1e6;

  const dates: bigint[] = [];
  for (let date = arrival(target); date !== undefined; date = dates.length < count ? arrival(target) : undefined)
    dates.push(date);
  const counted = dates.slice(Math.ceil(options.skip / FRAME_BYTES));
  const seconds = Number((counted.at(-1) ?? 0n) - (counted[0] ?? 0n)) / 1e9;
  return { rate: ((counted.length - 1) * FRAME_BYTES) / seconds, received: dates.length * FRAME_BYTES, sendingMs };
}

function openSocket(sandbox: Sandbox): number {
  const [link] = sandbox.ipJson<{ ifindex: number }>("link", "show", "dev", "eth0");
  const address = Buffer.alloc(20); // struct sockaddr_ll
  address.writeUInt16LE(AF_PACKET, 0);
  address.writeUInt16BE(EXPERIMENTAL, 2);
  address.writeInt32LE(link?.ifindex ?? 0, 4);
  const fd = sandbox.run(() => libc("socket", AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  onTestFinished(() => closeSync(fd));
  const size = Buffer.alloc(4);
  size.writeInt32LE(16_000_000);
  for (const option of [SO_SNDBUFFORCE, SO_RCVBUFFORCE]) libc("setsockopt", fd, SOL_SOCKET, option, size, size.length);
  libc("bind", fd, address, address.length);
  return fd;
}

function macOf(sandbox: Sandbox): Buffer {
  const [link] = sandbox.ipJson<{ address: string }>("link", "show", "dev", "eth0");
  return Buffer.from((link?.address ?? "").replaceAll(":", ""), "hex");
}

/** The first question for a date switches dating on; there is none to answer it with. */
function requestDates(fd: number): void {
  try {
    dateOfLast(fd);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
}

/** When the next frame came, in ns; undefined when none came for long. */
function arrival(fd: number): bigint | undefined {
  const poll = Buffer.alloc(8); // struct pollfd
  poll.writeInt32LE(fd, 0);
  poll.writeInt16LE(POLLIN, 4);
  if (libc("poll", poll, 1n, SILENCE_MS) === 0) return undefined;
  const frame = Buffer.alloc(FRAME_BYTES);
  libc("recvfrom", fd, frame, BigInt(frame.length), 0);
  return dateOfLast(fd);
}

function dateOfLast(fd: number): bigint {
  const time = Buffer.alloc(16); // struct timespec
  libc("ioctl", fd, SIOCGSTAMPNS, getRawPointer(time));
  return time.readBigInt64LE(0) * 1_000_000_000n + time.readBigInt64LE(8);
}
