import { readFileSync } from "node:fs";

const FIXTURES = new URL("../fixtures/netlink/", import.meta.url);

const NLMSG_HDRLEN = 16;

/** A message out of a datagram, as struct nlmsghdr of linux/netlink.h has it. */
export interface WireMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly body: Uint8Array;
}

/** Bytes of hex digits; white space and what follows a # do not count. */
export function hex(text: string): Uint8Array {
  const digits = text.replace(/#.*$/gm, "").replace(/\s+/g, "");
  if (!/^([0-9a-f]{2})*$/i.test(digits)) throw new RangeError(`Cannot read hex: "${digits.slice(0, 40)}"`);
  return Uint8Array.from(Buffer.from(digits, "hex"));
}

/** Hex digits of bytes, to compare by: a difference is easier to read than in a list of numbers. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** The datagrams of a file of test/fixtures/netlink, by name: an @ line starts each. */
export function readVectors(file: string): ReadonlyMap<string, Uint8Array> {
  const [, ...parts] = readFileSync(new URL(file, FIXTURES), "utf8").split(/^@/m);
  return new Map(
    parts.map((part) => {
      const end = part.indexOf("\n");
      return [part.slice(0, end), hex(part.slice(end))];
    }),
  );
}

/** One datagram of a file of test/fixtures/netlink. */
export function vector(file: string, name: string): Uint8Array {
  const bytes = readVectors(file).get(name);
  if (bytes === undefined) throw new Error(`Cannot find vector "${name}" in "${file}"`);
  return bytes;
}

/** The messages of a datagram. */
export function splitMessages(datagram: Uint8Array): WireMessage[] {
  const buffer = Buffer.from(datagram);
  const messages: WireMessage[] = [];
  for (let at = 0; at < buffer.length; ) {
    const length = buffer.readUInt32LE(at);
    messages.push({
      type: buffer.readUInt16LE(at + 4),
      flags: buffer.readUInt16LE(at + 6),
      sequence: buffer.readUInt32LE(at + 8),
      body: Uint8Array.from(buffer.subarray(at + NLMSG_HDRLEN, at + length)),
    });
    at += (length + 3) & ~3;
  }
  return messages;
}

/** The body of the first message of a vector: what follows nlmsghdr. */
export function bodyOf(file: string, name: string): Uint8Array {
  const [first] = splitMessages(vector(file, name));
  if (first === undefined) throw new Error(`Cannot find a message in vector "${name}" of "${file}"`);
  return first.body;
}
