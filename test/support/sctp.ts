import { DynamicLibrary } from "node:ffi";
import { closeSync } from "node:fs";
import { onTestFinished } from "vitest";
import { libc } from "../../src/sys/libc.ts";
import type { Sandbox } from "./node.ts";

// bits/socket.h, netinet/in.h
const AF_INET = 2;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_SCTP = 132;
const POLLIN = 1;

function sendto(...parameters: [number, Uint8Array, bigint, number, Uint8Array, number]): number | bigint {
  using library = new DynamicLibrary(null);
  const types = ["i32", "pointer", "u64", "i32", "pointer", "u32"] as const;
  return library.getFunction("sendto", { return: "i64", arguments: types })(...parameters);
}

/** For kernels without SCTP sockets: packets as they are, over IPv4. */
export class SctpSocket {
  readonly #fd: number;

  constructor(sandbox: Sandbox) {
    this.#fd = sandbox.run(() => libc("socket", AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_SCTP));
    onTestFinished(() => closeSync(this.#fd));
  }

  send(packet: Uint8Array, to: string): void {
    const address = Buffer.alloc(16); // struct sockaddr_in
    address.writeUInt16LE(AF_INET, 0);
    address.set(to.split(".").map(Number), 4);
    const sent = sendto(this.#fd, packet, BigInt(packet.length), 0, address, address.length);
    if (Number(sent) !== packet.length) throw new Error(`sendto ${to}: ${sent} of ${packet.length} bytes`);
  }

  /** The ports of the next packet, or undefined when none has come in time. */
  receive(timeoutMs: number): { from: number; to: number } | undefined {
    const poll = Buffer.alloc(8); // struct pollfd
    poll.writeInt32LE(this.#fd, 0);
    poll.writeInt16LE(POLLIN, 4);
    if (libc("poll", poll, 1n, timeoutMs) === 0) return undefined;
    const packet = Buffer.alloc(2048);
    libc("recv", this.#fd, packet, BigInt(packet.length), 0);
    const header = ((packet[0] ?? 0) & 0xf) * 4; // IPv4's is in front
    return { from: packet.readUInt16BE(header), to: packet.readUInt16BE(header + 2) };
  }
}

/** The first packet of an association (RFC 9260, sections 3 and 3.3.2). */
export function sctpInit({ from, to }: { from: number; to: number }): Uint8Array {
  const packet = Buffer.alloc(12 + 20);
  packet.writeUInt16BE(from, 0);
  packet.writeUInt16BE(to, 2);
  packet.writeUInt8(1, 12); // INIT
  packet.writeUInt16BE(20, 14);
  packet.writeUInt32BE(0x1234_5678, 16); // initiate tag
  packet.writeUInt32BE(65_536, 20); // receiver window
  packet.writeUInt16BE(1, 24); // streams out and in
  packet.writeUInt16BE(1, 26);
  packet.writeUInt32BE(1, 28); // first TSN
  packet.writeUInt32LE(crc32c(packet), 8);
  return packet;
}

/** RFC 9260, appendix A: Castagnoli's polynomial, bits reflected. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 0 ? 0 : 0x82f6_3b78);
  }
  return ~crc >>> 0;
}
