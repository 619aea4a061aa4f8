import { DynamicLibrary } from "node:ffi";
import { closeSync } from "node:fs";
import { onTestFinished } from "vitest";
import { Address } from "../../src/ip/address.ts";
import { libc } from "../../src/sys/libc.ts";
import type { Sandbox } from "./node.ts";

// bits/socket.h, netinet/in.h
const FAMILY = { 4: 2, 6: 10 } as const;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const IPPROTO_SCTP = 132;
const POLLIN = 1;

const signatures = {
  sendto: { return: "i64", arguments: ["i32", "pointer", "u64", "i32", "pointer", "u32"] },
  recvfrom: { return: "i64", arguments: ["i32", "pointer", "u64", "i32", "pointer", "pointer"] },
} as const;

/** A packet as it arrived. */
export interface SctpPacket {
  /** The sender's address. */
  readonly source: string;
  readonly from: number;
  readonly to: number;
  readonly chunk: "INIT" | "INIT ACK" | number;
}

/** For kernels without SCTP sockets: packets as they are. */
export class SctpSocket {
  readonly #fd: number;
  readonly #family: 4 | 6;

  /** @param address its own: what is not addressed to it does not arrive. @param sandbox where it is; the node unless given */
  constructor(address: string, sandbox?: Sandbox) {
    const { family } = Address.parse(address);
    const open = () => libc("socket", FAMILY[family], SOCK_RAW | SOCK_CLOEXEC, IPPROTO_SCTP);
    this.#family = family;
    this.#fd = sandbox === undefined ? open() : sandbox.run(open);
    onTestFinished(() => closeSync(this.#fd));
    const own = socketAddress(address);
    libc("bind", this.#fd, own, own.length);
  }

  send(packet: Uint8Array, to: string): void {
    using library = new DynamicLibrary(null);
    const address = socketAddress(to);
    const sendto = library.getFunction("sendto", signatures.sendto);
    const sent = sendto(this.#fd, packet, BigInt(packet.length), 0, address, address.length);
    if (Number(sent) !== packet.length) throw new Error(`sendto ${to}: ${sent} of ${packet.length} bytes`);
  }

  /** The next packet, or undefined when none has come in time. */
  receive(timeoutMs: number): SctpPacket | undefined {
    const poll = Buffer.alloc(8); // struct pollfd
    poll.writeInt32LE(this.#fd, 0);
    poll.writeInt16LE(POLLIN, 4);
    if (libc("poll", poll, 1n, timeoutMs) === 0) return undefined;
    using library = new DynamicLibrary(null);
    const packet = Buffer.alloc(2048);
    const sender = Buffer.alloc(28);
    const length = Buffer.from(Uint32Array.of(sender.length).buffer);
    library.getFunction("recvfrom", signatures.recvfrom)(this.#fd, packet, BigInt(packet.length), 0, sender, length);
    const header = this.#family === 4 ? ((packet[0] ?? 0) & 0xf) * 4 : 0; // of IPv4 the header is in front
    const type = packet.readUInt8(header + 12);
    const place = this.#family === 4 ? sender.subarray(4, 8) : sender.subarray(8, 24);
    return {
      source: String(Address.fromBytes(place)),
      from: packet.readUInt16BE(header),
      to: packet.readUInt16BE(header + 2),
      chunk: type === 1 ? "INIT" : type === 2 ? "INIT ACK" : type,
    };
  }
}

/** struct sockaddr_in, or struct sockaddr_in6; raw sockets have no port. */
function socketAddress(text: string): Buffer {
  const address = Address.parse(text);
  const bytes = Buffer.alloc(address.family === 4 ? 16 : 28);
  bytes.writeUInt16LE(FAMILY[address.family], 0);
  bytes.set(address.toBytes(), address.family === 4 ? 4 : 8);
  return bytes;
}

const INITIATE_TAG = 0x1234_5678;

/** The first packet of an association (RFC 9260, sections 3 and 3.3.2). */
export function sctpInit(ports: { from: number; to: number }): Buffer {
  return association({ ...ports, type: 1, verificationTag: 0 });
}

/** The answer to it (section 3.3.3), without the cookie, which no firewall looks for. */
export function sctpInitAck(ports: { from: number; to: number }): Buffer {
  return association({ ...ports, type: 2, verificationTag: INITIATE_TAG });
}

function association({ from, to, type, verificationTag }: { from: number; to: number; type: number; verificationTag: number }) {
  const packet = Buffer.alloc(12 + 20);
  packet.writeUInt16BE(from, 0);
  packet.writeUInt16BE(to, 2);
  packet.writeUInt32BE(verificationTag, 4);
  packet.writeUInt8(type, 12);
  packet.writeUInt16BE(20, 14);
  packet.writeUInt32BE(INITIATE_TAG, 16);
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
