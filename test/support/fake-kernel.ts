import type { Transport } from "../../src/sys/socket.ts";
import { splitMessages, type WireMessage } from "./hex.ts";

// linux/netlink.h
const NLMSG_HDRLEN = 16;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_MULTI = 0x2;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;

/** What a request is answered with: datagrams in order. */
export type Answer = (request: WireMessage, count: number) => readonly Uint8Array[];

/**
 * The other end of a netlink connection. Like a real socket it hands out one buffer that the next receive overwrites;
 * unlike one it does not block: receiving what never comes is an error.
 */
export class FakeKernel implements Transport {
  readonly requests: WireMessage[] = [];
  disposed = false;
  readonly #answer: Answer;
  readonly #queue: Uint8Array[] = [];
  readonly #buffer = new Uint8Array(65_536);

  /** @param answer told the request and how many came before it */
  constructor(answer: Answer) {
    this.#answer = answer;
  }

  /** Queues a datagram nobody asked for, as a notification is. */
  notify(datagram: Uint8Array): void {
    this.#queue.push(datagram);
  }

  send(message: Uint8Array): void {
    for (const request of splitMessages(message)) {
      this.#queue.push(...this.#answer(request, this.requests.length));
      this.requests.push(request);
    }
  }

  receive(timeoutMs?: number): Uint8Array | undefined {
    const datagram = this.#queue.shift();
    if (datagram === undefined) {
      if (timeoutMs !== undefined) return undefined;
      throw new Error("The fake kernel has nothing more to say: a real one would block here");
    }
    this.#buffer.fill(0xee);
    this.#buffer.set(datagram);
    return this.#buffer.subarray(0, datagram.length);
  }

  [Symbol.dispose](): void {
    this.disposed = true;
  }
}

/** One message with its header. */
export function message(parts: { type: number; flags?: number; sequence: number; body: Uint8Array }): Uint8Array {
  const bytes = Buffer.alloc(NLMSG_HDRLEN + ((parts.body.length + 3) & ~3));
  bytes.writeUInt32LE(NLMSG_HDRLEN + parts.body.length, 0);
  bytes.writeUInt16LE(parts.type, 4);
  bytes.writeUInt16LE(parts.flags ?? 0, 6);
  bytes.writeUInt32LE(parts.sequence, 8);
  bytes.set(parts.body, NLMSG_HDRLEN);
  return bytes;
}

/** NLMSG_ERROR that says the request succeeded. */
export function ack(request: WireMessage): Uint8Array {
  return refusal(request, 0);
}

/** NLMSG_ERROR with the request's header alone (NETLINK_CAP_ACK) and, where given, the kernel's words. */
export function refusal(request: WireMessage, errno: number, words?: string): Uint8Array {
  const header = message({ ...request, body: new Uint8Array() });
  const body = Buffer.concat([errorNumber(errno), header, wordsAttribute(words)]);
  return message({ type: NLMSG_ERROR, flags: NLM_F_CAPPED | ackFlags(words), sequence: request.sequence, body });
}

/** One datagram of answers, as a dump has many of. */
export function answers(
  request: WireMessage,
  type: number,
  options: { bodies: readonly Uint8Array[]; flags?: number },
): Uint8Array {
  const flags = NLM_F_MULTI | (options.flags ?? 0);
  return Buffer.concat(options.bodies.map((body) => message({ type, flags, sequence: request.sequence, body })));
}

/** NLMSG_DONE: the end of a dump, with an errno where it failed half way. */
export function done(request: WireMessage, options: { errno?: number; words?: string; flags?: number } = {}): Uint8Array {
  const { errno = 0, words, flags = 0 } = options;
  const body = Buffer.concat([errorNumber(errno), wordsAttribute(words)]);
  return message({ type: NLMSG_DONE, flags: NLM_F_MULTI | flags | ackFlags(words), sequence: request.sequence, body });
}

/** A captured datagram as the answer to this request: with its sequence number. */
export function replay(request: WireMessage, datagram: Uint8Array): Uint8Array {
  return Buffer.concat(splitMessages(datagram).map((captured) => message({ ...captured, sequence: request.sequence })));
}

function errorNumber(errno: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(-errno);
  return bytes;
}

function ackFlags(words: string | undefined): number {
  return words === undefined ? 0 : NLM_F_ACK_TLVS;
}

function wordsAttribute(words: string | undefined): Uint8Array {
  if (words === undefined) return new Uint8Array();
  const text = Buffer.from(`${words}\0`);
  const attribute = Buffer.alloc((4 + text.length + 3) & ~3);
  attribute.writeUInt16LE(4 + text.length, 0);
  attribute.writeUInt16LE(NLMSGERR_ATTR_MSG, 2);
  text.copy(attribute, 4);
  return attribute;
}
