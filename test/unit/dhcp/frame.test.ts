import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  BROADCAST,
  BROADCAST_MAC,
  decodeFrame,
  decodePacket,
  encodeFrame,
  encodePacket,
  type Frame,
} from "../../../src/dhcp/frame.ts";
import { Address } from "../../../src/ip/address.ts";
import { hex, toHex } from "../../support/hex.ts";
import { dnsmasqAck, dnsmasqOffer, udhcpcDiscover, udhcpcRelease, udhcpdAck } from "./captured.ts";

const address = fc.nat(0xffffffff).map((value) => new Address(4, BigInt(value)));
const mac = fc.uint8Array({ minLength: 6, maxLength: 6 });
const port = fc.nat(0xffff);
const frame: fc.Arbitrary<Frame> = fc.record({
  sourceMac: mac,
  destinationMac: mac,
  source: address,
  destination: address,
  sourcePort: port,
  destinationPort: port,
  payload: fc.uint8Array({ maxLength: 400 }),
});

const sample: Frame = {
  sourceMac: Uint8Array.of(2, 0, 0, 0, 0, 1),
  destinationMac: BROADCAST_MAC,
  source: new Address(4, 0n),
  destination: BROADCAST,
  sourcePort: 68,
  destinationPort: 67,
  payload: Uint8Array.of(1, 2, 3),
};

function changed(bytes: Uint8Array, at: number, value: number): Uint8Array {
  const copy = Uint8Array.from(bytes);
  copy[at] = value;
  return copy;
}

describe("a frame", () => {
  it("reads back as it was written, padding behind it or not", () => {
    fc.assert(
      fc.property(frame, fc.nat(50), (value, padding) => {
        const bytes = encodeFrame(value);
        expect(decodeFrame(bytes)).toEqual(value);
        expect(decodeFrame(Uint8Array.of(...bytes, ...new Uint8Array(padding).fill(0xaa)))).toEqual(value);
      }),
    );
  });

  it("with any one bit of IP addresses, ports, lengths or payload turned is refused", () => {
    fc.assert(
      fc.property(frame, fc.nat(), fc.nat(7), (value, position, bit) => {
        const bytes = encodePacket(value);
        const at = position % bytes.length;
        const turned = changed(bytes, at, (bytes[at] ?? 0) ^ (1 << bit));
        const checksumIsAbsent = turned[26] === 0 && turned[27] === 0;
        if (!checksumIsAbsent) expect(decodePacket(turned)).toBeUndefined();
      }),
    );
  });

  it.each([
    ["udhcpc, before it has an address", udhcpcDiscover],
    ["udhcpd", udhcpdAck],
  ])("of %s carries its whole checksum", (_, captured) => {
    const bytes = hex(captured);
    const read = decodeFrame(bytes);
    if (read === undefined) throw new Error("not read");
    const again = encodeFrame(read);
    expect(toHex(again.subarray(34))).toBe(toHex(bytes.subarray(34))); // UDP, checksum and all; type of service is each one's own
    expect(toHex(again.subarray(0, 14))).toBe(toHex(bytes.subarray(0, 14)));
  });

  it.each([
    ["offer", dnsmasqOffer, "10.9.0.1:67 10.9.0.53:68"],
    ["acknowledgement", dnsmasqAck, "10.9.0.1:67 10.9.0.53:68"],
    ["release", udhcpcRelease, "10.9.0.53:68 10.9.0.1:67"],
  ])("whose checksum the sender's kernel left to a card (an %s) is read when the socket says so", (_, captured, ends) => {
    expect(decodeFrame(hex(captured))).toBeUndefined();
    const read = decodeFrame(hex(captured), { unchecked: true });
    expect(`${read?.source}:${read?.sourcePort} ${read?.destination}:${read?.destinationPort}`).toBe(ends);
  });

  it("without UDP checksum is read, and one whose sum is 0 is sent as ffff", () => {
    const bytes = encodePacket(sample);
    expect(decodePacket(changed(changed(bytes, 26, 0), 27, 0))).toMatchObject({ payload: sample.payload });
    // of all pairs of bytes as the payload, one makes the sum 0
    const sums = new Set<string>();
    for (let high = 0; high < 256; high++) {
      for (let low = 0; low < 256; low += 1) {
        const made = encodePacket({ ...sample, payload: Uint8Array.of(high, low) });
        if (made[26] === 0xff && made[27] === 0xff) sums.add(toHex(made));
        if (made[26] === 0 && made[27] === 0) throw new Error("sent without checksum");
      }
    }
    expect(sums.size).toBeGreaterThan(0);
  });

  it.each<[string, Uint8Array]>([
    ["nothing", new Uint8Array()],
    ["half a header", encodeFrame(sample).subarray(0, 20)],
    ["a cut end", encodeFrame(sample).subarray(0, -1)],
    ["ARP inside", changed(encodeFrame(sample), 13, 0x06)],
    ["IPv6's version", changed(encodeFrame(sample), 14, 0x65)],
    ["a header of four words", changed(encodeFrame(sample), 14, 0x44)],
    ["TCP inside", withChecksum(changed(encodePacket(sample), 9, 6))],
    ["a fragment", withChecksum(changed(encodePacket(sample), 6, 0x20))],
    ["the rest of a fragmented packet", withChecksum(changed(encodePacket(sample), 7, 1))],
    ["a UDP length below its header", changed(encodeFrame(sample), 39, 7)],
    ["a UDP length beyond the packet", changed(encodeFrame(sample), 39, 200)],
  ])("with %s is not read, checksums or not", (_, bytes) => {
    expect(decodeFrame(bytes, { unchecked: true })).toBeUndefined();
  });

  it("may have IP options, and not be fragmented", () => {
    const packet = encodePacket(sample);
    const longer = Uint8Array.of(...packet.subarray(0, 20), 1, 1, 1, 1, ...packet.subarray(20));
    const withOptions = changed(changed(changed(longer, 0, 0x46), 3, longer.length), 6, 0x40);
    expect(decodeFrame(withChecksum(withOptions))).toMatchObject({ payload: sample.payload });
  });

  it("of any bytes is read or refused, and nothing else", () => {
    const noise = fc.uint8Array({ maxLength: 200 });
    fc.assert(
      fc.property(noise, (bytes) => {
        expect(() => [decodeFrame(bytes), decodePacket(bytes, { unchecked: true })]).not.toThrow();
      }),
    );
    fc.assert(
      fc.property(noise, (bytes) => {
        const start = encodePacket(sample);
        start.set(bytes.subarray(0, start.length));
        start[0] = 0x45;
        return decodePacket(start, { unchecked: true }) === undefined || start[9] === 17;
      }),
    );
  });

  it("cannot hold more than an IP packet", () => {
    expect(() => encodePacket({ ...sample, payload: new Uint8Array(65_508) })).toThrow("65508 bytes are too many");
    expect(encodePacket({ ...sample, payload: new Uint8Array(65_507) })).toHaveLength(65_535);
  });
});

/** An Ethernet frame around the packet, with its header's checksum put right. */
function withChecksum(packet: Uint8Array): Uint8Array {
  const view = new DataView(Uint8Array.from(packet).buffer);
  view.setUint16(10, 0);
  let sum = 0;
  for (let at = 0; at < (view.getUint8(0) & 15) * 4; at += 2) sum += view.getUint16(at);
  view.setUint16(10, ~((sum & 0xffff) + (sum >> 16)) & 0xffff);
  return Uint8Array.of(...encodeFrame(sample).subarray(0, 14), ...new Uint8Array(view.buffer));
}
