import type { Address } from "../ip/address.ts";
import type { ClientOptions, State } from "./client-events.ts";
import type { Lease } from "./lease.ts";
import { decodeMessage, type Message, messageType } from "./message.ts";
import { type MessageType, OPTION } from "./option-codes.ts";
import { readAddress, readText } from "./option-values.ts";
import { clientIdentifier } from "./requests.ts";

/** A server's answer to a client's question. */
export interface Reply {
  readonly type: MessageType | undefined;
  readonly message: Message;
  /** Option 54. */
  readonly server: Address | undefined;
}

/** Reads a datagram that came to port 68: an answer to the question `xid`, something `foreign`, or `malformed`. */
export function readReply(payload: Uint8Array, client: ClientOptions, xid: number): Reply | "foreign" | "malformed" {
  const message = decodeMessage(payload);
  if (message === undefined) return "malformed";
  const id = message.options.get(OPTION["dhcp-client-identifier"]);
  const ours =
    message.op === "reply" &&
    message.xid === xid &&
    sameBytes(message.chaddr, client.mac) &&
    // RFC 6842: a server that repeats a client ID means that client, and a MAC may be shared (ipvlan)
    (id === undefined || sameBytes(id, clientIdentifier(client)));
  if (!ours) return "foreign";
  return { type: messageType(message), message, server: readAddress(message.options.get(OPTION["dhcp-server-identifier"])) };
}

const WAITING: readonly State[] = ["requesting", "rebooting", "renewing", "rebinding"];

/** Why an answer means nothing to a client where it stands; undefined when it does mean something. */
export function whyUnexpected(
  reply: Reply,
  client: { readonly state: State; readonly offer: Lease | undefined },
): string | undefined {
  const { state, offer } = client;
  const { type, server } = reply;
  if (type === "OFFER" && state === "selecting") return undefined;
  if (!WAITING.includes(state) || (type !== "ACK" && type !== "NAK")) return `not expected while ${state}`;
  // Servers that were not chosen stay silent (RFC 2131 section 4.3.2), but some refuse on behalf of all
  if (offer !== undefined && server !== undefined && !server.equals(offer.server)) return `server ${server} was not asked`;
  return undefined;
}

/** What a NAK says, as a clause: `server 10.0.0.1 refused 10.0.0.9: "wrong network"`. */
export function refusalText({ message, server }: Reply, address: Address | undefined): string {
  const said = readText(message.options.get(OPTION["dhcp-message"]));
  const why = said === undefined ? "" : `: ${JSON.stringify(said)}`;
  return `${server === undefined ? "a server" : `server ${server}`} refused ${address ?? "the address"}${why}`;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
