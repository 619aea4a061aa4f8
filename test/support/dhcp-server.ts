import { onTestFinished } from "vitest";
import {
  BROADCAST,
  BROADCAST_MAC,
  CLIENT_PORT,
  decodeFrame,
  encodeFrame,
  type Frame,
  SERVER_PORT,
} from "../../src/dhcp/frame.ts";
import { decodeMessage, encodeMessage, type Message, messageType, UNSPECIFIED } from "../../src/dhcp/message.ts";
import { MESSAGE_TYPE, type MessageType, OPTION, type OptionName } from "../../src/dhcp/option-codes.ts";
import { writeNumber } from "../../src/dhcp/option-values.ts";
import { Address } from "../../src/ip/address.ts";
import { parseMac } from "../../src/ip/mac.ts";
import { openPacketSocket, sendDatagram, udpPortFilter } from "../../src/sys/packet-socket.ts";
import type { Poller } from "../../src/sys/poller.ts";
import type { Sandbox } from "./node.ts";

/** A message that the server has seen, with the frame it came in. */
export interface Seen {
  readonly type: MessageType;
  readonly message: Message;
  readonly frame: Frame;
}

/** What it answers with; bytes go out as they are. */
export interface Reply {
  readonly type: "OFFER" | "ACK" | "NAK";
  readonly address?: string;
  readonly options?: Partial<Record<OptionName, Uint8Array>>;
  /** Replaces fields of the message. */
  readonly fields?: Partial<Message>;
}

export type Behaviour = (seen: Seen) => readonly (Reply | Uint8Array)[];

/** A DHCP server in this process that answers as a test wants it to; it never answers by itself, and forgets nothing it has seen. */
export class DhcpServer {
  readonly seen: Seen[] = [];
  behaviour: Behaviour;
  readonly #address: Address;
  readonly #mac: Uint8Array;
  readonly #fd: number;
  readonly #watchers = new Set<() => void>();

  /** @param options.address of the server, which is on the link already */
  constructor(sandbox: Sandbox, options: { link: string; address: string; poller: Poller; behaviour?: Behaviour }) {
    this.#address = Address.parse(options.address);
    this.behaviour = options.behaviour ?? (() => []);
    const [link] = sandbox.ipJson<{ ifindex: number; address: string }>("link", "show", "dev", options.link);
    this.#mac = parseMac(link?.address ?? "");
    this.#fd = sandbox.run(() => openPacketSocket({ ifindex: link?.ifindex ?? 0, filter: udpPortFilter(SERVER_PORT) }));
    const receiving = options.poller.receive(this.#fd, {
      received: (bytes, { unchecked }) => this.#received(decodeFrame(bytes, { unchecked })),
      failed: () => {},
    });
    onTestFinished(() => receiving[Symbol.dispose]());
  }

  /** The next message of a client that this test has not been told of yet. */
  async next(type: MessageType, who: { mac?: string; after?: number } = {}): Promise<Seen> {
    for (let from = who.after ?? 0; ; ) {
      for (; from < this.seen.length; from++) {
        const one = this.seen[from];
        const mac = who.mac === undefined ? undefined : Buffer.from(parseMac(who.mac));
        if (one?.type === type && (mac === undefined || mac.equals(one.message.chaddr))) return one;
      }
      await new Promise<void>((resolve) => this.#watchers.add(resolve));
    }
  }

  #received(frame: Frame | undefined): void {
    const message = frame === undefined ? undefined : decodeMessage(frame.payload);
    const type = message === undefined ? undefined : messageType(message);
    if (frame === undefined || message === undefined || type === undefined) return;
    const seen = { type, message, frame };
    this.seen.push(seen);
    for (const reply of this.behaviour(seen)) {
      this.send(reply instanceof Uint8Array ? reply : encodeMessage(this.#message(reply, message)));
    }
    for (const watcher of this.#watchers) watcher();
    this.#watchers.clear();
  }

  /** The payload of a datagram to everybody's port 68. */
  send(payload: Uint8Array): void {
    const ports = { sourcePort: SERVER_PORT, destinationPort: CLIENT_PORT };
    const macs = { sourceMac: this.#mac, destinationMac: BROADCAST_MAC };
    sendDatagram(this.#fd, encodeFrame({ ...macs, ...ports, source: this.#address, destination: BROADCAST, payload }));
  }

  #message({ type, address, options = {}, fields }: Reply, asked: Message): Message {
    const given = Object.entries(options).map(([name, value]) => [OPTION[name as OptionName], value] as const);
    return {
      ...asked,
      op: "reply",
      ciaddr: UNSPECIFIED,
      yiaddr: address === undefined ? UNSPECIFIED : Address.parse(address),
      options: new Map<number, Uint8Array>([
        [OPTION["dhcp-message-type"], Uint8Array.of(MESSAGE_TYPE[type])],
        [OPTION["dhcp-server-identifier"], this.#address.toBytes()],
        ...given,
      ]),
      ...fields,
    };
  }
}

/** Addresses in their bytes, as options 3, 6 and 54 have them. */
export function addresses(...texts: string[]): Uint8Array {
  return Uint8Array.from(texts.flatMap((text) => [...Address.parse(text).toBytes()]));
}

/** Seconds as options 51, 58 and 59 have them. */
export const seconds = (count: number): Uint8Array => writeNumber(count, 4);

/** Leases one address to whoever asks, for so long, and says it anew as often as it is asked. */
export function leasing(address: string, time: number, options: Reply["options"] = {}): Behaviour {
  const all = { "subnet-mask": addresses("255.255.255.0"), "dhcp-lease-time": seconds(time), ...options };
  return ({ type }) => {
    if (type === "DISCOVER") return [{ type: "OFFER", address, options: all }];
    return type === "REQUEST" ? [{ type: "ACK", address, options: all }] : [];
  };
}
