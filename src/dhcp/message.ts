import { Address } from "../ip/address.ts";
import { END, MESSAGE_TYPE, type MessageType, OPTION, PAD } from "./option-codes.ts";

// The wire format of RFC 2131 section 2: BOOTP's fixed fields, the magic cookie, options.

/** Option number to its value; parts of a long option are joined (RFC 3396). In the order they stand in the message. */
export type Options = ReadonlyMap<number, Uint8Array>;

export interface Message {
  readonly op: "request" | "reply";
  /** Transaction ID, unsigned 32 bits. */
  readonly xid: number;
  /** Seconds since the client began, 0..65535. */
  readonly secs: number;
  /** The client cannot take unicast before it has its address. */
  readonly broadcast: boolean;
  /** The address the client has, 0.0.0.0 for none. */
  readonly ciaddr: Address;
  /** The address the client is given. */
  readonly yiaddr: Address;
  readonly siaddr: Address;
  /** The relay. */
  readonly giaddr: Address;
  /** The client's hardware address, at most 16 bytes. */
  readonly chaddr: Uint8Array;
  readonly options: Options;
}

export const UNSPECIFIED = new Address(4, 0n);

const OPS = { request: 1, reply: 2 } as const;
const ETHERNET = 1; // ARPHRD_ETHER, which macvlan, ipvlan and veth are
const BROADCAST_FLAG = 0x8000;
const SNAME = { start: 44, end: 108 } as const;
const FILE = { start: 108, end: 236 } as const;
const COOKIE = 0x63825363;
const OPTIONS_START = 240;
const MIN_SIZE = 300; // BOOTP's: some relays and servers drop what is shorter
const MAX_OPTION = 255;

/**
 * The message as the payload of a UDP datagram, at least 300 bytes. Options are written in the map's order, long ones in parts.
 * @throws RangeError on a field that does not fit
 */
export function encodeMessage(message: Message): Uint8Array {
  if (message.chaddr.length > 16) throw new RangeError(`Cannot write a DHCP message: chaddr has ${message.chaddr.length} bytes`);
  const parts = [...message.options].flatMap(([code, value]) => encodeOption(code, value));
  const size = parts.reduce((sum, part) => sum + part.length, OPTIONS_START + 1);
  const bytes = new Uint8Array(Math.max(size, MIN_SIZE));
  const view = new DataView(bytes.buffer);
  view.setUint8(0, OPS[message.op]);
  view.setUint8(1, ETHERNET);
  view.setUint8(2, message.chaddr.length);
  view.setUint32(4, message.xid);
  view.setUint16(8, Math.min(message.secs, 0xffff));
  view.setUint16(10, message.broadcast ? BROADCAST_FLAG : 0);
  [message.ciaddr, message.yiaddr, message.siaddr, message.giaddr].forEach((address, i) => {
    bytes.set(address.toBytes(), 12 + 4 * i);
  });
  bytes.set(message.chaddr, 28);
  view.setUint32(FILE.end, COOKIE);
  let at = OPTIONS_START;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  bytes[at] = END;
  return bytes;
}

function encodeOption(code: number, value: Uint8Array): Uint8Array[] {
  if (code <= PAD || code >= END) throw new RangeError(`Cannot write a DHCP message: ${code} is no option`);
  const parts: Uint8Array[] = [];
  for (let from = 0; from === 0 || from < value.length; from += MAX_OPTION) {
    const part = value.subarray(from, from + MAX_OPTION);
    parts.push(Uint8Array.of(code, part.length, ...part));
  }
  return parts;
}

/** Reads the payload of a UDP datagram; undefined for whatever is no well-formed DHCP message. Never throws. */
export function decodeMessage(bytes: Uint8Array): Message | undefined {
  if (bytes.length < OPTIONS_START) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const op = view.getUint8(0) === OPS.request ? "request" : view.getUint8(0) === OPS.reply ? "reply" : undefined;
  const hlen = view.getUint8(2);
  if (op === undefined || hlen > 16 || view.getUint32(FILE.end) !== COOKIE) return undefined;
  const options = decodeOptions(bytes);
  if (options === undefined) return undefined;
  const address = (at: number): Address => Address.fromBytes(bytes.subarray(at, at + 4));
  return {
    op,
    xid: view.getUint32(4),
    secs: view.getUint16(8),
    broadcast: (view.getUint16(10) & BROADCAST_FLAG) !== 0,
    ciaddr: address(12),
    yiaddr: address(16),
    siaddr: address(20),
    giaddr: address(24),
    chaddr: bytes.slice(28, 28 + hlen),
    options,
  };
}

/** Options of the options field, then of `file` and `sname` where option 52 says that they hold some (RFC 3396 section 5: that order). */
function decodeOptions(bytes: Uint8Array): Options | undefined {
  const options = new Map<number, Uint8Array>();
  if (!readField(options, bytes.subarray(OPTIONS_START))) return undefined;
  const [overload = 0] = options.get(OPTION["dhcp-option-overload"]) ?? [];
  if ((overload & 1) !== 0 && !readField(options, bytes.subarray(FILE.start, FILE.end))) return undefined;
  if ((overload & 2) !== 0 && !readField(options, bytes.subarray(SNAME.start, SNAME.end))) return undefined;
  return options;
}

/** @returns false when an option runs over the end of its field. A missing END is forgiven, as everybody does. */
function readField(options: Map<number, Uint8Array>, field: Uint8Array): boolean {
  for (let at = 0; at < field.length; ) {
    const code = field[at++];
    if (code === undefined || code === END) return true;
    if (code === PAD) continue;
    const length = field[at++];
    if (length === undefined || at + length > field.length) return false;
    const part = field.slice(at, at + length);
    const before = options.get(code);
    options.set(code, before === undefined ? part : Uint8Array.of(...before, ...part));
    at += length;
  }
  return true;
}

/** What option 53 says; undefined for BOOTP, and for types newer than RFC 2131. */
export function messageType(message: Message): MessageType | undefined {
  const value = message.options.get(OPTION["dhcp-message-type"]);
  if (value?.length !== 1) return undefined;
  for (const name in MESSAGE_TYPE) if (MESSAGE_TYPE[name as MessageType] === value[0]) return name as MessageType;
  return undefined;
}
