import { closeSync } from "node:fs";
import { onTestFinished } from "vitest";
import { libc } from "../../src/sys/libc.ts";
import type { Sandbox } from "./node.ts";

// linux/if_packet.h, linux/if_ether.h
const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const POLLIN = 1;

/** IEEE 802: for experiments on a wire of one's own. */
const EXPERIMENTAL = 0x88b5;
const VLAN_TAG = 0x8100;

/** if_ether.h */
export const ARP = 0x0806;

/** Sends and receives Ethernet frames of one kind on one interface of a container. What it sends itself it does not see. */
export class FrameSocket {
  readonly #fd: number;
  readonly #mac: Buffer;
  readonly #kind: number;

  /** @param kind EtherType of the frames, our own unless given */
  constructor(sandbox: Sandbox, ifname: string, kind = EXPERIMENTAL) {
    this.#kind = kind;
    const [link] = sandbox.ipJson<{ ifindex: number; address: string }>("link", "show", "dev", ifname);
    this.#mac = macBytes(link?.address ?? "");
    const address = Buffer.alloc(20); // struct sockaddr_ll
    address.writeUInt16LE(AF_PACKET, 0);
    address.writeUInt16BE(kind, 2);
    address.writeInt32LE(link?.ifindex ?? 0, 4);
    this.#fd = sandbox.run(() => libc("socket", AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
    onTestFinished(() => closeSync(this.#fd));
    libc("bind", this.#fd, address, address.length);
  }

  /** @param options.to MAC of the receiver, everybody unless given; `from` of the sender, the interface's own unless given; `vlan` puts an 802.1Q tag in */
  send(text: string, options: { to?: string; from?: string; vlan?: number } = {}): void {
    const tag = Buffer.alloc(options.vlan === undefined ? 0 : 4);
    if (options.vlan !== undefined) {
      tag.writeUInt16BE(VLAN_TAG, 0);
      tag.writeUInt16BE(options.vlan, 2);
    }
    const type = Buffer.alloc(2);
    type.writeUInt16BE(this.#kind, 0);
    const to = macBytes(options.to ?? "ff:ff:ff:ff:ff:ff");
    const from = options.from === undefined ? this.#mac : macBytes(options.from);
    const frame = Buffer.concat([to, from, tag, type, Buffer.from(text.padEnd(46))]);
    libc("sendto", this.#fd, frame, BigInt(frame.length), 0);
  }

  /** The text of the next frame, or undefined when none has come in time. */
  receive(timeoutMs: number): string | undefined {
    const poll = Buffer.alloc(8); // struct pollfd
    poll.writeInt32LE(this.#fd, 0);
    poll.writeInt16LE(POLLIN, 4);
    if (libc("poll", poll, 1n, timeoutMs) === 0) return undefined;
    const frame = Buffer.alloc(2048);
    const length = libc("recvfrom", this.#fd, frame, BigInt(frame.length), 0);
    return frame.toString("utf8", 14, length).trimEnd();
  }
}

function macBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(":", ""), "hex");
}
