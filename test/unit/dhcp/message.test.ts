import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { decodeFrame } from "../../../src/dhcp/frame.ts";
import { decodeMessage, encodeMessage, type Message, messageType, UNSPECIFIED } from "../../../src/dhcp/message.ts";
import { MESSAGE_TYPE, OPTION, optionCode } from "../../../src/dhcp/option-codes.ts";
import { Address } from "../../../src/ip/address.ts";
import { hex, toHex } from "../../support/hex.ts";
import { dnsmasqAck, dnsmasqOffer, udhcpcDiscover, udhcpcRelease, udhcpcRequest, udhcpdAck } from "./captured.ts";

function payloadOf(frame: string): Uint8Array {
  const payload = decodeFrame(hex(frame), { unchecked: true })?.payload;
  if (payload === undefined) throw new Error("no UDP datagram in the frame");
  return payload;
}

const address = fc.nat(0xffffffff).map((value) => new Address(4, BigInt(value)));
const options = fc
  .uniqueArray(fc.tuple(fc.integer({ min: 1, max: 254 }), fc.uint8Array({ maxLength: 700 })), {
    selector: ([code]) => code,
    maxLength: 8,
  })
  .map((entries) => new Map(entries.filter(([code]) => code !== OPTION["dhcp-option-overload"])));
const message: fc.Arbitrary<Message> = fc.record({
  op: fc.constantFrom("request", "reply"),
  xid: fc.nat(0xffffffff),
  secs: fc.nat(0xffff),
  broadcast: fc.boolean(),
  ciaddr: address,
  yiaddr: address,
  siaddr: address,
  giaddr: address,
  chaddr: fc.uint8Array({ maxLength: 16 }),
  options,
});

const plain: Message = {
  op: "reply",
  xid: 7,
  secs: 0,
  broadcast: false,
  ciaddr: UNSPECIFIED,
  yiaddr: UNSPECIFIED,
  siaddr: UNSPECIFIED,
  giaddr: UNSPECIFIED,
  chaddr: Uint8Array.of(2, 0, 0, 0, 0, 1),
  options: new Map(),
};

/** A message whose options, sname and file fields are given as bytes. */
function withFields(fields: { options: readonly number[]; file?: readonly number[]; sname?: readonly number[] }): Uint8Array {
  const bytes = new Uint8Array(240 + fields.options.length);
  bytes.set(encodeMessage(plain).subarray(0, 240));
  bytes.set(fields.options, 240);
  bytes.set(fields.file ?? [], 108);
  bytes.set(fields.sname ?? [], 44);
  return bytes;
}

describe("a DHCP message", () => {
  it("reads back as it was written, long options in parts among them", () => {
    fc.assert(
      fc.property(message, (value) => {
        const bytes = encodeMessage(value);
        expect(bytes.length).toBeGreaterThanOrEqual(300);
        expect(decodeMessage(bytes)).toEqual(value);
      }),
    );
  });

  it.each([
    ["a DISCOVER of udhcpc", udhcpcDiscover],
    ["a REQUEST of udhcpc", udhcpcRequest],
    ["an OFFER of dnsmasq", dnsmasqOffer],
    ["an ACK of dnsmasq", dnsmasqAck],
    ["an ACK of udhcpd", udhcpdAck],
    ["a RELEASE of udhcpc", udhcpcRelease],
  ])("is written byte for byte as %s", (_, frame) => {
    const payload = payloadOf(frame);
    const read = decodeMessage(payload);
    if (read === undefined) throw new Error("not read");
    const written = encodeMessage(read);
    expect(toHex(written).padEnd(2 * payload.length, "0")).toBe(toHex(payload));
  });

  it("of dnsmasq has its fields and options", () => {
    const read = decodeMessage(payloadOf(dnsmasqOffer));
    expect(read).toMatchObject({ op: "reply", xid: 0x5c9a2b38, secs: 0, broadcast: false });
    expect(`${read?.yiaddr} ${read?.siaddr} ${read?.ciaddr} ${read?.giaddr}`).toBe("10.9.0.53 10.9.0.1 0.0.0.0 0.0.0.0");
    expect(toHex(read?.chaddr ?? new Uint8Array())).toBe("020000000099");
    expect([...(read?.options.keys() ?? [])]).toEqual([53, 54, 51, 58, 59, 1, 28, 3, 26, 121, 15, 119, 6]);
    expect(read && messageType(read)).toBe("OFFER");
  });

  it("carries options in file and sname where option 52 says so, joined in that order", () => {
    const bytes = withFields({
      options: [52, 1, 3, 6, 1, 1, 255],
      file: [6, 2, 2, 3, 0, 255, 9, 9],
      sname: [6, 1, 4, 12, 1, 65, 255],
    });
    expect(decodeMessage(bytes)?.options).toEqual(
      new Map([
        [52, Uint8Array.of(3)],
        [6, Uint8Array.of(1, 2, 3, 4)],
        [12, Uint8Array.of(65)],
      ]),
    );
  });

  it.each([
    [1, [[6, "file"]]],
    [2, [[6, "sname"]]],
    [0, []],
  ] as const)("with overload %i reads no other field", (overload, expected) => {
    const text = (value: string): number[] => [6, value.length, ...Buffer.from(value), 255];
    const read = decodeMessage(withFields({ options: [52, 1, overload, 255], file: text("file"), sname: text("sname") }));
    const options = [...(read?.options ?? [])].map(([code, value]) => [code, Buffer.from(value).toString()]);
    expect(options.slice(1)).toEqual(expected);
  });

  it("may lack its END, and what follows an END is nothing", () => {
    expect(decodeMessage(withFields({ options: [53, 1, 2] }))?.options).toEqual(new Map([[53, Uint8Array.of(2)]]));
    expect(decodeMessage(withFields({ options: [0, 0, 53, 1, 2, 255, 12, 200] }))?.options).toEqual(
      new Map([[53, Uint8Array.of(2)]]),
    );
  });

  it.each<[string, Uint8Array]>([
    ["nothing", new Uint8Array()],
    ["239 bytes", withFields({ options: [] }).subarray(0, 239)],
    ["no magic cookie", withFields({ options: [255] }).fill(0, 236, 240)],
    ["an op that is none", withFields({ options: [255] }).fill(3, 0, 1)],
    ["a hardware address of 17 bytes", withFields({ options: [255] }).fill(17, 2, 3)],
    ["an option without length", withFields({ options: [53] })],
    ["an option over the end", withFields({ options: [53, 2, 1] })],
    ["an option over the end of file", withFields({ options: [52, 1, 1, 255], file: [6, 200] })],
    ["an option over the end of sname", withFields({ options: [52, 1, 2, 255], sname: [6, 63] })],
  ])("with %s is none", (_, bytes) => {
    expect(decodeMessage(bytes)).toBeUndefined();
  });

  it("of any bytes is read or refused, and nothing else", () => {
    const noise = fc.uint8Array({ maxLength: 600 });
    fc.assert(
      fc.property(noise, (bytes) => {
        expect(() => decodeMessage(bytes)).not.toThrow();
      }),
    );
    fc.assert(
      fc.property(noise, fc.uint8Array({ minLength: 64, maxLength: 64 }), (options, sname) => {
        const read = decodeMessage(withFields({ options: [52, 1, 3, ...options], sname: [...sname] }));
        for (const value of read?.options.values() ?? []) expect(value).toBeInstanceOf(Uint8Array);
      }),
    );
  });

  it("does not keep the memory it was read from", () => {
    const bytes = withFields({ options: [12, 1, 65, 255] });
    const read = decodeMessage(bytes);
    bytes.fill(0);
    expect(read?.options.get(12)).toEqual(Uint8Array.of(65));
    expect(read?.chaddr).toEqual(plain.chaddr);
  });

  it("cannot be written with what does not fit", () => {
    expect(() => encodeMessage({ ...plain, chaddr: new Uint8Array(17) })).toThrow("chaddr has 17 bytes");
    expect(() => encodeMessage({ ...plain, options: new Map([[255, new Uint8Array()]]) })).toThrow("255 is no option");
    expect(() => encodeMessage({ ...plain, options: new Map([[0, new Uint8Array()]]) })).toThrow("0 is no option");
  });

  it("has a type of RFC 2132 or none", () => {
    for (const [name, number] of Object.entries(MESSAGE_TYPE)) {
      expect(messageType({ ...plain, options: new Map([[53, Uint8Array.of(number)]]) })).toBe(name);
    }
    for (const value of [[], [0], [9], [1, 1]]) {
      expect(messageType({ ...plain, options: new Map([[53, Uint8Array.from(value)]]) })).toBeUndefined();
    }
    expect(messageType(plain)).toBeUndefined();
  });
});

describe("an option's number", () => {
  it.each([
    ["host-name", 12],
    ["dhcp-client-identifier", 61],
    ["subnet-mask", 1],
    ["routers", 3],
    ["user-class", 77],
    ["vendor-class-identifier", 60],
    ["0", 0],
    ["255", 255],
    ["121", 121],
  ])("of %j is %i", (text, code) => {
    expect(optionCode(text)).toBe(code);
  });

  it.each(["256", "-1", "01", "1.0", "", "Host-Name", "toString", "__proto__", "0x3"])("of %j is none", (text) => {
    expect(optionCode(text)).toBeUndefined();
  });
});
