import { Client } from "../../../src/dhcp/client.ts";
import type { Action, ClientOptions, Event } from "../../../src/dhcp/client-events.ts";
import type { Message } from "../../../src/dhcp/message.ts";
import { OPTION } from "../../../src/dhcp/option-codes.ts";
import { clientIdOf, resolveOptions } from "../../../src/dhcp/options.ts";
import { addressIn, datagram, MAC, read, type Values } from "./replies.ts";

export const CLIENT_ID = clientIdOf({ network: "lan", containerId: "c0ffee", ifname: "eth0" });

/** Different numbers from 0 to 1, the same in every run; those for jitter among them. */
function counting(): () => number {
  let i = 0;
  return () => (i++ * 0.618) % 1;
}

/** A client with a clock that stands still unless moved, and a note of what it did as a person would write it. */
export class Driver {
  readonly client: Client;
  now: number;
  /** The last message the client sent. */
  sent: Message | undefined;

  constructor(options: Partial<ClientOptions> = {}, now = 1_000_000) {
    this.now = now;
    const { provide, request } = resolveOptions({ args: new Map() });
    this.client = new Client({ mac: MAC, clientId: CLIENT_ID, provide, request, random: counting(), ...options });
  }

  handle(event: Event): string[] {
    return this.client.handle(event, this.now).map((action) => this.#describe(action));
  }

  start(): string[] {
    return this.handle({ kind: "start" });
  }

  /** Seconds until the deadline. */
  get wait(): number | undefined {
    return this.client.deadline === undefined ? undefined : (this.client.deadline - this.now) / 1000;
  }

  /** Moves the clock to the deadline and lets the client see it. */
  expire(): string[] {
    this.now = this.client.deadline ?? this.now;
    return this.handle({ kind: "deadline" });
  }

  /** Deadline after deadline, up to that many seconds from now. What was done at which second. */
  pass(seconds: number): string[] {
    const [from, until] = [this.now, this.now + seconds * 1000];
    const done: string[] = [];
    while (this.client.deadline !== undefined && this.client.deadline <= until) {
      const what = this.expire();
      done.push(`${Math.round((this.now - from) / 10) / 100}: ${what.join(", ")}`);
    }
    this.now = until;
    return done;
  }

  /** Hands in a server's message that answers the last one sent. */
  answer(type: "OFFER" | "ACK" | "NAK", fields: Parameters<typeof datagram>[1] = {}): string[] {
    return this.handle({ kind: "received", payload: datagram(type, { xid: this.sent?.xid ?? 0, ...fields }) });
  }

  /** From nothing to BOUND, without a second passing. */
  bind(values: Values = {}): this {
    this.start();
    this.answer("OFFER", { values });
    this.answer("ACK", { values });
    return this;
  }

  #describe(action: Action): string {
    switch (action.kind) {
      case "send": {
        this.sent = read(action.payload);
        const { ciaddr, options } = this.sent;
        const requested = addressIn(this.sent, "dhcp-requested-address");
        const server = addressIn(this.sent, "dhcp-server-identifier");
        const parts = [
          action.type,
          ciaddr.value !== 0n && `of ${ciaddr}`,
          requested && `for ${requested}`,
          server && `server ${server}`,
          `from ${action.source}`,
          `to ${action.to === "broadcast" ? "all" : action.to.unicast}`,
        ];
        if (options.get(OPTION["dhcp-client-identifier"]) === undefined) parts.push("without client id");
        return parts.filter((part) => part).join(" ");
      }
      case "bound":
        return `bound ${action.lease.address}${action.changed ? ` instead of ${action.previous?.address ?? "none"}` : ""}`;
      case "lost":
        return `lost ${action.lease.address}: ${action.reason}`;
      default:
        return `${action.kind}: ${action.reason}`;
    }
  }
}
