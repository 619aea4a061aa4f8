import type { Result } from "../cni/result.ts";
import type { Send } from "../dhcp/client-events.ts";
import { formatMac } from "../ip/mac.ts";
import { reason } from "../support/errors.ts";
import type { Poller } from "../sys/poller.ts";
import { applyLease } from "./apply.ts";
import { OpenPlace, type Place, type PlaceIdentity } from "./place.ts";
import { findSideDoor, sendThrough } from "./side-door.ts";
import { frameOf, Wire } from "./wire.ts";

/** What is known of a container's interface, for the time when it is gone and for another run of the daemon. */
export interface ContainerFacts {
  readonly identity: PlaceIdentity;
  /** MAC of who sent the lease: the server, or the router on the way to it; empty until there is one. */
  readonly nextHopMac: string;
  /** The node's link from which the container's wire is reached without the container; empty where there is none. */
  readonly sideDoor: string;
}

/** Who is told what happens to an interface. */
export interface ContainerListener {
  /** The payload of a datagram to port 68. */
  received(payload: Uint8Array): void;
  /** The link carries frames from now on. */
  carries(): void;
  gone(reason: string): void;
}

/** A container's interface, as a lease has to do with it. Its sockets are open while they are needed, and no longer. */
export class ContainerSide {
  readonly #place: Place;
  readonly #poller: Poller;
  readonly #listener: ContainerListener;
  #facts: ContainerFacts | undefined;
  #wire: Wire | undefined;
  #senderMac = "";

  constructor(place: Place, options: { poller: Poller; listener: ContainerListener; facts: ContainerFacts | undefined }) {
    this.#place = place;
    this.#poller = options.poller;
    this.#listener = options.listener;
    this.#facts = options.facts;
  }

  /** Undefined until its sockets were open. */
  get facts(): ContainerFacts | undefined {
    return this.#facts;
  }

  get isOpen(): boolean {
    return this.#wire !== undefined;
  }

  /** Whether the interface is there, and none that came later. */
  isThere(): boolean {
    try {
      using _place = OpenPlace.open(this.#place, this.#facts?.identity);
      return true;
    } catch {
      return false;
    }
  }

  /** Opens sockets, sets the link up. @returns whether frames get anywhere already @throws LinkGoneError */
  open(): boolean {
    return this.#opened().carries;
  }

  /** Sends a client's message. @returns what went wrong on a way that another was taken for @throws LinkGoneError */
  send(message: Send): string | undefined {
    return this.#opened().send(message);
  }

  /** Remembers that who sent the last frame gave the lease. */
  noteServer(): void {
    if (this.#facts !== undefined && this.#senderMac !== "") this.#facts = { ...this.#facts, nextHopMac: this.#senderMac };
  }

  /**
   * Tells a server that its address is free. Nobody is asked for the server's MAC address: by the time of an answer the interface may be
   * gone. Where it is gone already, another link of the same wire is taken.
   * @returns the name of that one @throws Error when there is no way
   */
  sendRelease(message: Send): string | undefined {
    const { identity, nextHopMac = "", sideDoor = "" } = this.#facts ?? {};
    if (identity === undefined) throw new Error("it was never there");
    const frame = frameOf(message, { from: identity.mac, ...(nextHopMac === "" ? {} : { to: nextHopMac }) });
    try {
      this.#opened().sendFrame(frame);
      return undefined;
    } catch (error) {
      if (sideDoor === "") throw error;
      try {
        sendThrough(sideDoor, frame);
      } catch (second) {
        throw new Error(`${reason(error)}, and ${reason(second)}`, { cause: error });
      }
      return sideDoor;
    }
  }

  /** Puts a lease on the interface in the place of another. @returns the changes as commands @throws LinkGoneError */
  apply(change: { before: Result | undefined; after: Result | undefined }): string[] {
    const { identity } = this.#facts ?? {};
    return identity === undefined ? [] : applyLease(this.#place, { expected: identity, ...change });
  }

  close(): void {
    this.#wire?.[Symbol.dispose]();
    this.#wire = undefined;
  }

  #opened(): Wire {
    if (this.#wire !== undefined) return this.#wire;
    const wire = Wire.open(this.#place, {
      expected: this.#facts?.identity,
      poller: this.#poller,
      listener: {
        received: (payload, { mac }) => {
          this.#senderMac = formatMac(mac);
          this.#listener.received(payload);
        },
        carries: () => this.#listener.carries(),
        gone: (why) => this.#listener.gone(why),
      },
    });
    this.#facts ??= { identity: wire.identity, nextHopMac: "", sideDoor: findSideDoor(wire.link) ?? "" };
    this.#wire = wire;
    return wire;
  }
}
