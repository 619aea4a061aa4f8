import type { Address } from "../ip/address.ts";
import type { Lease } from "./lease.ts";
import type { Options } from "./message.ts";
import type { MessageType } from "./option-codes.ts";

// What a client is told and what it wants done. A client touches neither sockets nor clocks: the daemon
//   1. makes a Client, calls `handle({ kind: "start" }, now)` and does the actions in order,
//   2. calls `handle({ kind: "deadline" }, now)` when `client.deadline` is reached (read it again after every event),
//   3. hands on whatever arrives at port 68, unread,
//   4. and stops when `client.state` is "released", "failed" or "gone".

/**
 * Where a client stands, RFC 2131 figure 5. SELECTING and INIT are one, for a DISCOVER is sent at once.
 * The last three are ends: `deadline` is undefined and events bring no actions any more.
 */
export type State =
  | "init"
  | "selecting"
  | "requesting"
  | "rebooting"
  | "bound"
  | "renewing"
  | "rebinding"
  | "released"
  | "failed"
  | "gone";

export type Event =
  /** The link is up. A valid previous lease is gone on with; without one a server is looked for. */
  | { readonly kind: "start" }
  /** The payload of a UDP datagram to port 68; may be anything by anybody. */
  | { readonly kind: "received"; readonly payload: Uint8Array }
  /** `deadline` is reached; too early is no harm. */
  | { readonly kind: "deadline" }
  /** The container goes: give the address back. */
  | { readonly kind: "release" }
  /** The interface or its namespace is no more. */
  | { readonly kind: "link-gone" }
  /** The link has carrier again: perhaps to another network, so the lease is verified (INIT-REBOOT); a waiting client tries at once. */
  | { readonly kind: "carrier" };

export type Action =
  | Send
  /** There is a lease, a new one or the old one for longer: put it on disk, and on the interface when `changed`. */
  | {
      readonly kind: "bound";
      readonly lease: Lease;
      /** Address, prefix, gateway, routes, DNS or MTU differ from `previous`, or there is none. */
      readonly changed: boolean;
      /** What was configured till now. */
      readonly previous: Lease | undefined;
    }
  /** The address must not be used any more: take it off. The client looks for another one by itself, unless the link is gone. */
  | { readonly kind: "lost"; readonly lease: Lease; readonly reason: string }
  /** No lease within `resendTimeout`, and there was none before: the end. `reason` is a clause for an error's text. */
  | { readonly kind: "failed"; readonly reason: string }
  /** For the log: a message that was not used, and why. Foreign traffic (another's xid or chaddr) is not worth one. */
  | { readonly kind: "ignored"; readonly reason: string };

export interface Send {
  readonly kind: "send";
  readonly type: MessageType;
  /** The payload of a UDP datagram from port 68 to port 67. */
  readonly payload: Uint8Array;
  /** IPv4 source address: 0.0.0.0 until there is a lease. */
  readonly source: Address;
  /** By broadcast (255.255.255.255, ff:ff:ff:ff:ff:ff; needs a packet socket), or to that server through the container's routes. */
  readonly to: "broadcast" | { readonly unicast: Address };
}

export interface ClientOptions {
  /** Six bytes. */
  readonly mac: Uint8Array;
  /** Value of option 61; options.ts makes it. What `provide` says instead wins. */
  readonly clientId: Uint8Array;
  /** Asks servers to answer by broadcast; needed where the link's MAC is not the container's alone (ipvlan). Default false. */
  readonly broadcast?: boolean;
  /** Option 55, in order of preference; resolveOptions makes it. */
  readonly request: readonly number[];
  /** Options put into every DISCOVER and REQUEST. */
  readonly provide: Options;
  /** In [0, 1), as Math.random gives them: transaction IDs and the jitter of timeouts. */
  readonly random: () => number;
  /** A lease of an earlier run of the daemon, in the clock that events have. */
  readonly previous?: Lease;
  readonly timing?: Partial<Timing>;
}

/** Milliseconds. */
export interface Timing {
  /** Longest pause between two messages without an answer: `-resendmax`. */
  readonly resendMax: number;
  /** How long a first lease is tried for: `-resendtimeout`. */
  readonly resendTimeout: number;
  /** How long one server's answer to a REQUEST is waited for before it starts again with DISCOVER: `-timeout`. */
  readonly timeout: number;
}

/** The reference's. */
export const defaultTiming: Timing = { resendMax: 62_000, resendTimeout: 208_000, timeout: 10_000 };
