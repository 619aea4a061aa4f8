import type { Address } from "../ip/address.ts";
import type { ClientOptions, Send, State } from "./client-events.ts";
import type { Lease } from "./lease.ts";
import { encodeMessage, type Message, UNSPECIFIED } from "./message.ts";
import { MESSAGE_TYPE, OPTION } from "./option-codes.ts";
import { writeNumber } from "./option-values.ts";

/** What differs between a client's messages, RFC 2131 table 4. */
export interface Question {
  readonly type: "DISCOVER" | "REQUEST" | "RELEASE";
  /** The address the client has and uses: renewing, rebinding, releasing. */
  readonly ciaddr?: Address;
  /** Option 50: the address it wants. */
  readonly requested?: Address;
  /** Option 54: the server that is meant. */
  readonly server?: Address;
  readonly to: Send["to"];
}

/** What a client asks in a state. */
export function questionIn(
  state: State,
  known: { readonly lease?: Lease | undefined; readonly offer?: Lease | undefined; readonly wish?: Address | undefined },
): Question {
  const { lease, offer, wish } = known;
  if (state === "requesting" && offer !== undefined) {
    return { type: "REQUEST", requested: offer.address.address, server: offer.server, to: "broadcast" };
  }
  if (lease !== undefined) {
    const address = lease.address.address;
    if (state === "rebooting") return { type: "REQUEST", requested: address, to: "broadcast" };
    if (state === "renewing") return { type: "REQUEST", ciaddr: address, to: { unicast: lease.server } };
    if (state === "rebinding") return { type: "REQUEST", ciaddr: address, to: "broadcast" };
  }
  return { type: "DISCOVER", ...(wish && { requested: wish }), to: "broadcast" };
}

/** Gives a lease back. Also for an address that was asked for and not confirmed yet: the server may have noted it. */
export function releaseOf(lease: Lease): Question {
  return { type: "RELEASE", ciaddr: lease.address.address, server: lease.server, to: { unicast: lease.server } };
}

export function sendAction(client: ClientOptions, question: Question, exchange: { xid: number; secs: number }): Send {
  const payload = encodeMessage(requestMessage(client, { ...question, ...exchange }));
  return { kind: "send", type: question.type, payload, source: question.ciaddr ?? UNSPECIFIED, to: question.to };
}

/** Option 61 of a client: what the configuration provides goes before what we make. */
export function clientIdentifier(client: ClientOptions): Uint8Array {
  return client.provide.get(OPTION["dhcp-client-identifier"]) ?? client.clientId;
}

/** Option 57 counts the headers of IPv4 and UDP too: what fits an Ethernet link. */
const MAX_MESSAGE_SIZE = 1500;

/** A client's message with the options that RFC 2131 table 5 asks for, allows and forbids. */
function requestMessage(client: ClientOptions, fields: Question & { xid: number; secs: number }): Message {
  const { type, ciaddr, requested, server } = fields;
  const options = new Map<number, Uint8Array>([[OPTION["dhcp-message-type"], Uint8Array.of(MESSAGE_TYPE[type])]]);
  if (requested !== undefined) options.set(OPTION["dhcp-requested-address"], requested.toBytes());
  if (server !== undefined) options.set(OPTION["dhcp-server-identifier"], server.toBytes());
  options.set(OPTION["dhcp-client-identifier"], clientIdentifier(client));
  if (type !== "RELEASE") {
    options.set(OPTION["dhcp-max-message-size"], writeNumber(MAX_MESSAGE_SIZE, 2));
    if (client.request.length > 0) options.set(OPTION["dhcp-parameter-request-list"], Uint8Array.from(client.request));
    for (const [code, value] of client.provide) {
      // an address the configuration wishes for is only that, and to be told as long as there is no other
      if (code !== OPTION["dhcp-requested-address"] || (type === "DISCOVER" && requested === undefined)) options.set(code, value);
    }
  }
  return {
    op: "request",
    xid: fields.xid,
    secs: fields.secs,
    broadcast: client.broadcast === true && ciaddr === undefined,
    ciaddr: ciaddr ?? UNSPECIFIED,
    yiaddr: UNSPECIFIED,
    siaddr: UNSPECIFIED,
    giaddr: UNSPECIFIED,
    chaddr: client.mac,
    options,
  };
}
