import { align4 } from "./attributes.ts";
import type { NetlinkMessage, NetlinkRequest } from "./connection.ts";

// linux/netlink.h: struct nlmsghdr is u32 length, u16 type, u16 flags, u32 sequence, u32 port; messages follow each other at 4 bytes.
export const NLMSG_HDRLEN = 16;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

/** A request with its header, padded. */
export function encodeMessage(request: NetlinkRequest, options: { flags: number; sequence: number }): Uint8Array {
  const length = NLMSG_HDRLEN + request.body.length;
  const message = new Uint8Array(align4(length));
  const header = new DataView(message.buffer);
  header.setUint32(0, length, true);
  header.setUint16(4, request.type.number, true);
  header.setUint16(6, options.flags, true);
  header.setUint32(8, options.sequence, true);
  message.set(request.body, NLMSG_HDRLEN);
  return message;
}

/** Not Buffer's, which makes views. */
const copy = Uint8Array.prototype.slice;

/** The messages in a datagram. @throws RangeError when a length does not fit */
export function readMessages(datagram: Uint8Array): (NetlinkMessage & { sequence: number })[] {
  const messages: (NetlinkMessage & { sequence: number })[] = [];
  const view = new DataView(datagram.buffer, datagram.byteOffset, datagram.length);
  for (let at = 0; at < datagram.length; ) {
    const length = at + NLMSG_HDRLEN <= datagram.length ? view.getUint32(at, true) : 0;
    if (length < NLMSG_HDRLEN || at + length > datagram.length) {
      throw new RangeError(`Cannot read a netlink message at byte ${at}: length ${length} of ${datagram.length - at} bytes left`);
    }
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      body: copy.call(datagram, at + NLMSG_HDRLEN, at + length),
    });
    at += align4(length);
  }
  return messages;
}
