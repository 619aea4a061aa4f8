import { Address } from "../ip/address.ts";

// Ethernet, IPv4 and UDP by hand: before a client has its address, and for what is sent to 255.255.255.255 without a route,
// the kernel's own UDP does not serve.

export interface Datagram {
  readonly source: Address;
  readonly destination: Address;
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly payload: Uint8Array;
}

export interface Frame extends Datagram {
  readonly sourceMac: Uint8Array;
  readonly destinationMac: Uint8Array;
}

export const SERVER_PORT = 67;
export const CLIENT_PORT = 68;
export const BROADCAST_MAC: Uint8Array = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff);
export const BROADCAST = new Address(4, 0xffffffffn);

const ETH_P_IP = 0x0800;
const ETHERNET_HEADER = 14;
const IP_HEADER = 20;
const UDP_HEADER = 8;
const UDP = 17;
const TTL = 64;
/** Precedence of control traffic, as dhclient and systemd-networkd send it. */
const TOS = 0x10;
/** RFC 791: more fragments, and the offset. Fragments of a DHCP message do not happen, and are not put together here. */
const FRAGMENT = 0x3fff;

/** An Ethernet frame for a packet socket of type SOCK_RAW. @throws RangeError when the payload is longer than IPv4 can say */
export function encodeFrame(frame: Frame): Uint8Array {
  const packet = encodePacket(frame);
  const bytes = new Uint8Array(ETHERNET_HEADER + packet.length);
  bytes.set(frame.destinationMac, 0);
  bytes.set(frame.sourceMac, 6);
  new DataView(bytes.buffer).setUint16(12, ETH_P_IP);
  bytes.set(packet, ETHERNET_HEADER);
  return bytes;
}

/** An IPv4 packet with both checksums, for a packet socket of type SOCK_DGRAM. */
export function encodePacket(datagram: Datagram): Uint8Array {
  const udpLength = UDP_HEADER + datagram.payload.length;
  const length = IP_HEADER + udpLength;
  if (length > 0xffff) throw new RangeError(`Cannot make a packet: ${datagram.payload.length} bytes are too many`);
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, 0x45); // version 4, five words of header
  view.setUint8(1, TOS);
  view.setUint16(2, length);
  view.setUint8(8, TTL);
  view.setUint8(9, UDP);
  bytes.set(datagram.source.toBytes(), 12);
  bytes.set(datagram.destination.toBytes(), 16);
  view.setUint16(10, checksum(bytes.subarray(0, IP_HEADER)));
  view.setUint16(IP_HEADER, datagram.sourcePort);
  view.setUint16(IP_HEADER + 2, datagram.destinationPort);
  view.setUint16(IP_HEADER + 4, udpLength);
  bytes.set(datagram.payload, IP_HEADER + UDP_HEADER);
  // RFC 768: 0 on the wire means "no checksum", so a sum of 0 is sent as its other form
  view.setUint16(IP_HEADER + 6, udpChecksum(bytes) || 0xffff);
  return bytes;
}

export interface DecodeOptions {
  /**
   * The UDP checksum is not filled in yet: the sender's kernel left it to a card that was never passed (a veth, a bridge).
   * Packet sockets say so with PACKET_AUXDATA: TP_STATUS_CSUMNOTREADY in tp_status.
   */
  readonly unchecked?: boolean;
}

/** The UDP datagram in an Ethernet frame; undefined for anything else, damaged or cut. Never throws. */
export function decodeFrame(bytes: Uint8Array, options: DecodeOptions = {}): Frame | undefined {
  if (bytes.length < ETHERNET_HEADER) return undefined;
  if (new DataView(bytes.buffer, bytes.byteOffset).getUint16(12) !== ETH_P_IP) return undefined;
  const datagram = decodePacket(bytes.subarray(ETHERNET_HEADER), options);
  return datagram && { ...datagram, destinationMac: bytes.slice(0, 6), sourceMac: bytes.slice(6, 12) };
}

/** The UDP datagram in an IPv4 packet, which may have padding behind; undefined for anything else, damaged, cut or fragmented. Never throws. */
export function decodePacket(bytes: Uint8Array, options: DecodeOptions = {}): Datagram | undefined {
  if (bytes.length < IP_HEADER) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const header = (view.getUint8(0) & 0xf) * 4;
  const length = view.getUint16(2);
  if (view.getUint8(0) >> 4 !== 4 || header < IP_HEADER || length > bytes.length || length < header + UDP_HEADER)
    return undefined;
  if (view.getUint8(9) !== UDP || (view.getUint16(6) & FRAGMENT) !== 0) return undefined;
  if (checksum(bytes.subarray(0, header)) !== 0) return undefined;
  const udpLength = view.getUint16(header + 4);
  if (udpLength < UDP_HEADER || header + udpLength > length) return undefined;
  const packet = bytes.subarray(0, header + udpLength);
  if (options.unchecked !== true && view.getUint16(header + 6) !== 0 && udpChecksum(packet) !== 0) return undefined;
  return {
    source: Address.fromBytes(bytes.subarray(12, 16)),
    destination: Address.fromBytes(bytes.subarray(16, 20)),
    sourcePort: view.getUint16(header),
    destinationPort: view.getUint16(header + 2),
    payload: packet.slice(header + UDP_HEADER),
  };
}

/** RFC 768: over the UDP part and a pseudo header of addresses, protocol and length. 0 for a packet whose checksum is in it and right. */
function udpChecksum(packet: Uint8Array): number {
  const header = ((packet[0] ?? 0) & 0xf) * 4;
  return checksum(packet.subarray(header), sum(packet.subarray(12, 20)) + UDP + packet.length - header);
}

/** RFC 1071: the ones' complement of the ones' complement sum of 16-bit words. */
function checksum(bytes: Uint8Array, start = 0): number {
  let total = start + sum(bytes);
  while (total > 0xffff) total = (total & 0xffff) + Math.floor(total / 0x10000);
  return ~total & 0xffff;
}

function sum(bytes: Uint8Array): number {
  let total = 0;
  for (let i = 0; i < bytes.length; i++) total += i % 2 === 0 ? (bytes[i] ?? 0) << 8 : (bytes[i] ?? 0);
  return total;
}
