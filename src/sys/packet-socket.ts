import { closeSync } from "node:fs";
import { libc, pointerTo } from "./libc.ts";

// bits/socket.h, linux/if_packet.h, linux/if_ether.h
const AF_INET = 2;
const AF_PACKET = 17;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const ETH_P_IP = 0x0800;
const SOL_PACKET = 263;
const PACKET_AUXDATA = 8;

// asm-generic/socket.h
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_BINDTODEVICE = 25;
const SO_ATTACH_FILTER = 26;

/** One instruction of classic BPF (linux/filter.h, struct sock_filter): code, jump if true, jump if false, operand. */
export type FilterInstruction = readonly [code: number, jt: number, jf: number, k: number];

/** Takes nothing. */
export const takeNothing: readonly FilterInstruction[] = [[0x06, 0, 0, 0]];

/** Ethernet frames with an IPv4 packet, not a later fragment of one, that has UDP to this port. */
export function udpPortFilter(port: number): readonly FilterInstruction[] {
  return [
    [0x28, 0, 0, 12], // ldh [12]: EtherType
    [0x15, 0, 8, ETH_P_IP],
    [0x30, 0, 0, 23], // ldb [23]: protocol
    [0x15, 0, 6, 17], // UDP
    [0x28, 0, 0, 20], // ldh [20]: flags and fragment offset
    [0x45, 4, 0, 0x1fff], // jset: a later fragment has no ports
    [0xb1, 0, 0, 14], // ldxb 4*([14]&0xf): length of the IP header
    [0x48, 0, 0, 16], // ldh [x + 16]: destination port
    [0x15, 0, 1, port],
    [0x06, 0, 0, 0x40000], // ret: all of it
    [0x06, 0, 0, 0],
  ];
}

/**
 * A packet socket on one interface of the namespace this thread stands in. Nothing is received that the filter does not take, not
 * even what comes before it is bound.
 * @returns a descriptor, non-blocking, to be closed by the caller
 */
export function openPacketSocket(options: { ifindex: number; filter: readonly FilterInstruction[] }): number {
  return opening(libc("socket", AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), (fd) => {
    attachFilter(fd, options.filter);
    libc("setsockopt", fd, SOL_PACKET, PACKET_AUXDATA, Uint8Array.of(1, 0, 0, 0), 4);
    const address = Buffer.alloc(20); // struct sockaddr_ll
    address.writeUInt16LE(AF_PACKET, 0);
    address.writeUInt16BE(ETH_P_IP, 2);
    address.writeInt32LE(options.ifindex, 4);
    libc("bind", fd, address, address.length);
  });
}

/** An IPv4 address in its 4 bytes, and a port. */
export interface UdpEnd {
  readonly address: Uint8Array;
  readonly port: number;
}

/**
 * A UDP socket of the namespace this thread stands in, bound to an interface and connected, that sends and never receives: what is sent
 * to it is for a packet socket, and the kernel does not say that the port is unreachable.
 * @returns a descriptor, non-blocking, to be closed by the caller
 */
export function openUdpSender(options: { device: string; from: UdpEnd; to: UdpEnd }): number {
  return opening(libc("socket", AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), (fd) => {
    attachFilter(fd, takeNothing);
    libc("setsockopt", fd, SOL_SOCKET, SO_REUSEADDR, Uint8Array.of(1, 0, 0, 0), 4);
    const device = Buffer.from(`${options.device}\0`);
    libc("setsockopt", fd, SOL_SOCKET, SO_BINDTODEVICE, device, device.length);
    const [from, to] = [socketAddress(options.from), socketAddress(options.to)];
    libc("bind", fd, from, from.length);
    libc("connect", fd, to, to.length);
  });
}

/** Sends one datagram or frame. @throws SyscallError, EAGAIN when there is no room for it */
export function sendDatagram(fd: number, bytes: Uint8Array): void {
  libc("sendto", fd, bytes, BigInt(bytes.length), 0);
}

function socketAddress({ address, port }: UdpEnd): Buffer {
  const bytes = Buffer.alloc(16); // struct sockaddr_in
  bytes.writeUInt16LE(AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(address, 4);
  return bytes;
}

function attachFilter(fd: number, filter: readonly FilterInstruction[]): void {
  const instructions = Buffer.alloc(filter.length * 8);
  for (const [index, [code, jt, jf, k]] of filter.entries()) {
    instructions.writeUInt16LE(code, index * 8);
    instructions.writeUInt8(jt, index * 8 + 2);
    instructions.writeUInt8(jf, index * 8 + 3);
    instructions.writeUInt32LE(k, index * 8 + 4);
  }
  const program = Buffer.alloc(16); // struct sock_fprog: a count, and the address of the instructions
  program.writeUInt16LE(filter.length, 0);
  program.writeBigUInt64LE(pointerTo(instructions), 8);
  libc("setsockopt", fd, SOL_SOCKET, SO_ATTACH_FILTER, program, program.length);
  instructions.fill(0); // also keeps them alive until here
}

function opening(fd: number, prepare: (fd: number) => void): number {
  try {
    prepare(fd);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
