import { closeSync } from "node:fs";
import { isErrno } from "./errno.ts";
import { libc } from "./libc.ts";

// bits/socket.h, linux/netlink.h
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const SOL_NETLINK = 270;
const MSG_DONTWAIT = 0x40;
const POLLIN = 1;

/** linux/netlink.h, NETLINK_*: protocols. */
export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

// asm-generic/socket.h
const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_SNDBUFFORCE = 32;

// linux/netlink.h: options
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;

/** As much as the kernel ever puts into one reply of a dump (NLMSG_GOODSIZE grows to 32 KiB with the reader's buffer). */
const RECEIVE_BUFFER = 65_536;

/** Of all sockets: nobody reads of two at once. */
let received: Uint8Array | undefined;

/** What a netlink connection needs of a socket; a test can be the kernel behind it. */
export interface Transport extends Disposable {
  send(message: Uint8Array): void;
  /** One datagram. The bytes are valid until the next call, of whichever socket. @param timeoutMs wait at most this long; undefined answer: nothing came */
  receive(timeoutMs?: number): Uint8Array | undefined;
}

/** A netlink socket of the namespace in which it was opened. */
export class NetlinkSocket implements Transport {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * @param protocol NETLINK_*
   * @param groups bit mask of multicast groups to listen to (RTMGRP_*)
   */
  static open(protocol: number, groups = 0): NetlinkSocket {
    const socket = new NetlinkSocket(libc("socket", AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
    try {
      // Strict checking came with Linux 4.20; without it a dump's filter is not looked at, which its readers do not rely on
      for (const option of [NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK]) enableNetlinkOption(socket.#fd, option);
      if (groups !== 0) bindGroups(socket.#fd, groups);
      return socket;
    } catch (error) {
      socket[Symbol.dispose]();
      throw error;
    }
  }

  /** Sends one datagram however large: the socket's send buffer grows where it must. */
  send(message: Uint8Array): void {
    try {
      this.#send(message);
    } catch (error) {
      if (!isErrno(error, "EMSGSIZE", "ENOBUFS")) throw error;
      this.#growSendBuffer(message.length);
      this.#send(message);
    }
  }

  #send(message: Uint8Array): void {
    retryInterrupted(() => libc("sendto", this.#fd, message, BigInt(message.length), 0));
  }

  #growSendBuffer(length: number): void {
    const size = Buffer.alloc(4);
    size.writeInt32LE(length + 4096); // the kernel doubles it and keeps some for itself
    try {
      libc("setsockopt", this.#fd, SOL_SOCKET, SO_SNDBUFFORCE, size, size.length);
    } catch (error) {
      if (!isErrno(error, "EPERM")) throw error; // in a user namespace: as far as net.core.wmem_max allows
      libc("setsockopt", this.#fd, SOL_SOCKET, SO_SNDBUF, size, size.length);
    }
  }

  receive(timeoutMs?: number): Uint8Array | undefined {
    const atOnce = timeoutMs === 0;
    if (timeoutMs !== undefined && !atOnce && !readable(this.#fd, timeoutMs)) return undefined;
    received ??= new Uint8Array(Buffer.allocUnsafeSlow(RECEIVE_BUFFER).buffer); // unlike a zeroed one, it takes only the memory that is used
    const buffer = received;
    try {
      const flags = atOnce ? MSG_DONTWAIT : 0;
      return buffer.subarray(
        0,
        retryInterrupted(() => libc("recvfrom", this.#fd, buffer, BigInt(RECEIVE_BUFFER), flags)),
      );
    } catch (error) {
      if (atOnce && isErrno(error, "EAGAIN")) return undefined;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/**
 * A socket of the namespace this thread stands in that is told of changes, for a poller.
 * @param groups bit mask of rtnetlink's multicast groups (RTMGRP_*)
 * @returns a descriptor, non-blocking, to be closed by the caller
 */
export function openNetlinkListener(groups: number): number {
  const fd = libc("socket", AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
  try {
    bindGroups(fd, groups);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function bindGroups(fd: number, groups: number): void {
  const address = Buffer.alloc(12); // struct sockaddr_nl
  address.writeUInt16LE(AF_NETLINK, 0);
  address.writeUInt32LE(groups, 8);
  libc("bind", fd, address, address.length);
}

/** Switches an option of a netlink socket on. @returns whether this kernel knows it */
export function enableNetlinkOption(fd: number, option: number): boolean {
  try {
    libc("setsockopt", fd, SOL_NETLINK, option, Uint8Array.of(1, 0, 0, 0), 4);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOPROTOOPT")) return false;
    throw error;
  }
}

function readable(fd: number, timeoutMs: number): boolean {
  const descriptor = Buffer.alloc(8); // struct pollfd
  descriptor.writeInt32LE(fd, 0);
  descriptor.writeInt16LE(POLLIN, 4);
  return retryInterrupted(() => libc("poll", descriptor, 1n, Math.max(0, Math.ceil(timeoutMs)))) > 0;
}

function retryInterrupted(call: () => number): number {
  for (;;) {
    try {
      return call();
    } catch (error) {
      if (!isErrno(error, "EINTR")) throw error;
    }
  }
}
