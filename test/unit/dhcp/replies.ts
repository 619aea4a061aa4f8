import { decodeMessage, encodeMessage, type Message, UNSPECIFIED } from "../../../src/dhcp/message.ts";
import { MESSAGE_TYPE, type MessageType, OPTION, type OptionName } from "../../../src/dhcp/option-codes.ts";
import { Address } from "../../../src/ip/address.ts";

export const MAC = Uint8Array.of(2, 0, 0, 0, 0, 0x99);

/** Option values as tests write them: addresses as text, seconds as numbers, anything else as bytes; undefined leaves an option out. */
export type Values = Partial<Record<OptionName, string | number | Uint8Array | undefined>>;

function bytesOf(value: string | number | Uint8Array): Uint8Array {
  if (typeof value === "string") return Address.parse(value).toBytes();
  if (typeof value !== "number") return value;
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

/** A server's message: by default 10.9.0.53/24 of server 10.9.0.1 for 120 s. */
export function reply(
  type: MessageType,
  fields: { xid?: number; yiaddr?: string; chaddr?: Uint8Array; op?: Message["op"]; values?: Values } = {},
): Message {
  const bare = type === "NAK" ? {} : { "dhcp-lease-time": 120, "subnet-mask": "255.255.255.0", routers: "10.9.0.1" };
  const values = { "dhcp-server-identifier": "10.9.0.1", ...bare, ...fields.values };
  const options = new Map<number, Uint8Array>([[OPTION["dhcp-message-type"], Uint8Array.of(MESSAGE_TYPE[type])]]);
  for (const [name, value] of Object.entries(values))
    if (value !== undefined) options.set(OPTION[name as OptionName], bytesOf(value));
  return {
    op: fields.op ?? "reply",
    xid: fields.xid ?? 0,
    secs: 0,
    broadcast: false,
    ciaddr: UNSPECIFIED,
    yiaddr: Address.parse(type === "NAK" ? "0.0.0.0" : (fields.yiaddr ?? "10.9.0.53")),
    siaddr: UNSPECIFIED,
    giaddr: UNSPECIFIED,
    chaddr: fields.chaddr ?? MAC,
    options,
  };
}

/** A server's message as it arrives. */
export function datagram(...args: Parameters<typeof reply>): Uint8Array {
  return encodeMessage(reply(...args));
}

/** What a client sent. @throws when it is no message */
export function read(payload: Uint8Array): Message {
  const message = decodeMessage(payload);
  if (message === undefined) throw new Error("Cannot read what the client sent");
  return message;
}

/** An option of a message: an address as text. */
export function addressIn(message: Message, name: OptionName): string | undefined {
  const value = message.options.get(OPTION[name]);
  return value && `${Address.fromBytes(value)}`;
}
