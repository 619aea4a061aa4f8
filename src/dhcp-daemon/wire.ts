import { closeSync } from "node:fs";
import type { Send } from "../dhcp/client-events.ts";
import { BROADCAST, BROADCAST_MAC, CLIENT_PORT, decodeFrame, encodeFrame, SERVER_PORT } from "../dhcp/frame.ts";
import type { Address } from "../ip/address.ts";
import { parseMac } from "../ip/mac.ts";
import { findLink, type Link, setUp } from "../link/links.ts";
import { OPER_UNKNOWN, OPER_UP } from "../netlink/route/link.ts";
import { RTMGRP } from "../netlink/route/message-types.ts";
import { reason } from "../support/errors.ts";
import { openPacketSocket, openUdpSender, sendDatagram, udpPortFilter } from "../sys/packet-socket.ts";
import type { Poller } from "../sys/poller.ts";
import { openNetlinkListener } from "../sys/socket.ts";
import { OpenPlace, type Place, type PlaceIdentity } from "./place.ts";

/** Who is told what comes over a wire. */
export interface WireListener {
  /** The payload of a datagram to port 68, and who sent its frame. */
  received(payload: Uint8Array, sender: { readonly mac: Uint8Array }): void;
  /** The link carries frames from now on. */
  carries(): void;
  gone(reason: string): void;
}

/**
 * A container's interface with the sockets that DHCP takes: a packet socket to send and receive on, and word of what becomes of the link.
 * Open only while an exchange goes on, because sockets keep a namespace alive that everybody else has left.
 */
export class Wire implements Disposable {
  readonly #place: OpenPlace;
  readonly #listener: WireListener;
  readonly #packetSocket: number;
  readonly #receiving: Disposable[] = [];
  #unicast: number | undefined;
  #carries: boolean;

  private constructor(place: OpenPlace, options: { poller: Poller; listener: WireListener }) {
    this.#place = place;
    this.#listener = options.listener;
    const { namespace, link } = place;
    const events = namespace.inside(() => openNetlinkListener(RTMGRP.LINK)); // before the link is up, so that no word of it is missed
    this.#receiving.push(options.poller.receive(events, { received: () => this.#look(), failed: () => this.#look() }));
    if (!link.up) setUp(namespace, link); // a packet socket that is bound while it is down remembers that as an error
    this.#carries = isCarrying(findLink(namespace, link.index) ?? link);
    const filter = udpPortFilter(CLIENT_PORT);
    this.#packetSocket = namespace.inside(() => openPacketSocket({ ifindex: link.index, filter }));
    const frames = options.poller.receive(this.#packetSocket, {
      received: (bytes, { unchecked }) => {
        const frame = decodeFrame(bytes, { unchecked });
        if (frame !== undefined) this.#listener.received(frame.payload, { mac: frame.sourceMac });
      },
      failed: () => this.#look(),
    });
    this.#receiving.push(frames);
  }

  /** Opens the sockets and sets the link up. @throws LinkGoneError */
  static open(at: Place, options: { expected?: PlaceIdentity | undefined; poller: Poller; listener: WireListener }): Wire {
    const place = OpenPlace.open(at, options.expected);
    try {
      return new Wire(place, options);
    } catch (error) {
      place[Symbol.dispose]();
      throw error;
    }
  }

  get identity(): PlaceIdentity {
    return this.#place.identity;
  }

  get link(): Link {
    return this.#place.link;
  }

  /** Whether what is sent now gets anywhere. */
  get carries(): boolean {
    return this.#carries;
  }

  /** Sends a client's message. @returns what went wrong on a way that another was taken for */
  send(message: Send): string | undefined {
    const { payload, source, to } = message;
    if (to === "broadcast") {
      this.sendFrame(frameOf(message, { from: this.identity.mac }));
      return undefined;
    }
    try {
      this.#sendDatagram(payload, { source, destination: to.unicast });
      return undefined;
    } catch (error) {
      // The address may not be on the interface yet, or not any more; a server on the same wire hears it nevertheless
      this.sendFrame(frameOf(message, { from: this.identity.mac }));
      return reason(error);
    }
  }

  /** Sends an Ethernet frame as it is. */
  sendFrame(frame: Uint8Array): void {
    sendDatagram(this.#packetSocket, frame);
  }

  #sendDatagram(payload: Uint8Array, { source, destination }: { source: Address; destination: Address }): void {
    this.#closeUnicast();
    const from = { address: source.toBytes(), port: CLIENT_PORT };
    const to = { address: destination.toBytes(), port: SERVER_PORT };
    const { namespace, link } = this.#place;
    const fd = namespace.inside(() => openUdpSender({ device: link.name, from, to }));
    this.#unicast = fd; // stays open, so that the kernel does not answer that nobody is there
    sendDatagram(fd, payload);
  }

  /** Something has happened to some link of the namespace. */
  #look(): void {
    const { namespace, link } = this.#place;
    const now = findLink(namespace, link.index);
    if (now === undefined) {
      this.#listener.gone(`interface "${link.name}" is gone`);
      return;
    }
    const before = this.#carries;
    this.#carries = isCarrying(now);
    if (this.#carries && !before) this.#listener.carries();
  }

  #closeUnicast(): void {
    if (this.#unicast !== undefined) closeSync(this.#unicast);
    this.#unicast = undefined;
  }

  [Symbol.dispose](): void {
    for (const one of this.#receiving) one[Symbol.dispose]();
    this.#closeUnicast();
    this.#place[Symbol.dispose]();
  }
}

/**
 * A client's message as an Ethernet frame.
 * @param macs.to of the server or of the router on the way there; everybody unless given
 */
export function frameOf({ payload, source, to }: Send, macs: { readonly from: string; readonly to?: string }): Uint8Array {
  return encodeFrame({
    sourceMac: parseMac(macs.from),
    destinationMac: macs.to === undefined ? BROADCAST_MAC : parseMac(macs.to),
    source,
    destination: to === "broadcast" ? BROADCAST : to.unicast,
    sourcePort: CLIENT_PORT,
    destinationPort: SERVER_PORT,
    payload,
  });
}

function isCarrying({ up, operState }: { up: boolean; operState: number }): boolean {
  return up && (operState === OPER_UP || operState === OPER_UNKNOWN);
}
