import { isErrno } from "../sys/errno.ts";
import type { Transport } from "../sys/socket.ts";
import { errnoOf, type NetlinkError, readError } from "./acks.ts";
import { joined } from "./codec.ts";
import { encodeMessage, NLMSG_DONE, NLMSG_ERROR, readMessages } from "./framing.ts";

/** linux/netlink.h, NLM_F_*. */
export const flags = {
  REQUEST: 0x1,
  MULTI: 0x2,
  ACK: 0x4,
  ECHO: 0x8,
  DUMP_INTR: 0x10,
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  APPEND: 0x800,
  DUMP: 0x300,
} as const;

// asm-generic/errno-base.h
const ENOENT = 2;

/** A dump that the kernel says was interrupted is asked for again this often. */
const DUMP_TRIES = 10;

/** Answers of a batch wait in the socket before send() returns. */
const AT_ONCE = 0;

/** Requests whose answers a socket holds: 200 KB by default, and the kernel counts up to 2 for an answer. */
const REQUESTS_AT_ONCE = 64;

/** A request of a batch that was refused, by its place; -1: the batch as a whole. */
export interface BatchRefusal {
  readonly at: number;
  readonly error: NetlinkError;
}

/** A message type by number and kernel name, as the tables in route/ have it. */
export interface MessageType {
  readonly number: number;
  readonly kernelName: string;
}

/** One request: its type, the encoded message after nlmsghdr, and NLM_F_* beside REQUEST and ACK. */
export interface NetlinkRequest {
  readonly type: MessageType;
  readonly body: Uint8Array;
  readonly flags?: number;
}

/** A message from the kernel. The body is a copy and stays valid. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly body: Uint8Array;
}

/** Requests and their answers over one netlink socket. */
export class NetlinkConnection implements Disposable {
  readonly #transport: Transport;
  #sequence = 0;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Sends a change and waits for its ack. @throws NetlinkError */
  change(request: NetlinkRequest): void {
    this.#exchange(request, flags.ACK);
  }

  /** Asks for one object. @throws NetlinkError, ENODEV or ENOENT say that there is none */
  get(request: NetlinkRequest): Uint8Array {
    const answer = this.find(request);
    if (answer === undefined) throw new Error(`${request.type.kernelName}: the kernel acknowledged but sent no answer`);
    return answer;
  }

  /** Asks for one object of a kind of which the kernel keeps some to itself: undefined for those. @throws NetlinkError */
  find(request: NetlinkRequest): Uint8Array | undefined {
    return this.#exchange(request, flags.ACK).messages[0]?.body;
  }

  /** Asks for what may come in several answers; undefined: there is no such thing (ENOENT). @throws NetlinkError */
  findAll(request: NetlinkRequest): Uint8Array[] | undefined {
    const { absent, messages } = this.#exchange(request, flags.ACK, { absence: true });
    return absent ? undefined : messages.map((message) => message.body);
  }

  /**
   * Asks for many objects, one answer each, several requests in a datagram: a system call and no wait for each of them is saved.
   * @returns the answers in order; undefined: there is no such thing (ENOENT)
   * @throws NetlinkError the first that is another
   */
  findEach(requests: readonly NetlinkRequest[]): (Uint8Array | undefined)[] {
    const found: (Uint8Array | undefined)[] = [];
    for (let at = 0; at < requests.length; at += REQUESTS_AT_ONCE) {
      const some = requests.slice(at, at + REQUESTS_AT_ONCE);
      found.push(...(this.#findTogether(some) ?? some.map((request) => this.findAll(request)?.[0])));
    }
    return found;
  }

  /** All objects of a kind, as they were at one moment: a dump that changed under way is read again. */
  dump(request: NetlinkRequest): Uint8Array[] {
    for (let tries = 0; tries < DUMP_TRIES; tries++) {
      const { messages, interrupted } = this.#exchange(request, flags.DUMP);
      if (!interrupted) return messages.map((message) => message.body);
    }
    throw new Error(`${request.type.kernelName}: the dump was interrupted by changes ${DUMP_TRIES} times in a row`);
  }

  /**
   * Sends several changes that take effect together or not at all, between the messages that begin and end such a batch.
   * Without an end the kernel checks them and makes none.
   * @returns what was refused, in order; empty when all is done
   */
  transact(requests: readonly NetlinkRequest[], envelope: { begin: NetlinkRequest; end?: NetlinkRequest }): BatchRefusal[] {
    const first = this.#sequence + 1;
    const all = [envelope.begin, ...requests, ...(envelope.end === undefined ? [] : [envelope.end])];
    this.#sequence += all.length;
    // One ack is enough to know the end of the answers, and older kernels give none for the end message
    const acked = requests.length;
    const messages = all.map((request, at) => {
      const bits = (request.flags ?? 0) | flags.REQUEST | (at === acked ? flags.ACK : 0);
      return encodeMessage(request, { flags: bits, sequence: first + at });
    });
    this.#transport.send(joined(messages));
    return this.#batchAnswers(all, { first, acked });
  }

  /** One batch of notifications, for sockets that joined a group; undefined when none came in time. */
  listen(timeoutMs: number): NetlinkMessage[] | undefined {
    const datagram = this.#transport.receive(timeoutMs);
    return datagram === undefined
      ? undefined
      : readMessages(datagram).map(({ type, flags: bits, body }) => ({ type, flags: bits, body }));
  }

  [Symbol.dispose](): void {
    this.#transport[Symbol.dispose]();
  }

  /** Undefined: the socket did not hold all answers. */
  #findTogether(requests: readonly NetlinkRequest[]): (Uint8Array | undefined)[] | undefined {
    const first = this.#sequence + 1;
    const last = requests.length - 1;
    this.#sequence += requests.length;
    const messages = requests.map((request, at) => {
      const bits = (request.flags ?? 0) | flags.REQUEST | (at === last ? flags.ACK : 0); // what is not there is told of in any case
      return encodeMessage(request, { flags: bits, sequence: first + at });
    });
    this.#transport.send(joined(messages));
    const found = new Array<Uint8Array | undefined>(requests.length).fill(undefined);
    let refusal: NetlinkError | undefined;
    for (;;) {
      const datagram = this.#receiveUnlessOverrun();
      if (datagram === undefined) return undefined;
      for (const message of readMessages(datagram)) {
        const at = message.sequence - first;
        const request = requests[at];
        if (request === undefined) continue;
        if (message.type !== NLMSG_ERROR) found[at] = message.body;
        else if (errnoOf(message) !== ENOENT) refusal ??= readError(request.type.kernelName, message);
        if (message.type !== NLMSG_ERROR || at !== last) continue;
        if (refusal !== undefined) throw refusal;
        return found;
      }
    }
  }

  /** Undefined: answers were lost; what is left of them is read and forgotten, which makes room for others. */
  #receiveUnlessOverrun(): Uint8Array | undefined {
    try {
      return this.#transport.receive();
    } catch (error) {
      if (!isErrno(error, "ENOBUFS")) throw error;
      while (this.#transport.receive(AT_ONCE) !== undefined);
      return undefined;
    }
  }

  #batchAnswers(all: readonly NetlinkRequest[], options: { first: number; acked: number }): BatchRefusal[] {
    const refusals: BatchRefusal[] = [];
    let overrun = false;
    for (;;) {
      let datagram: Uint8Array | undefined;
      try {
        datagram = this.#transport.receive(AT_ONCE);
      } catch (error) {
        if (overrun || !isErrno(error, "ENOBUFS")) throw error;
        overrun = true; // more refusals than the socket holds: the first of them are there
        continue;
      }
      if (datagram === undefined) {
        if (refusals.length > 0) return refusals;
        throw new Error(`${all[0]?.type.kernelName}: no answer`);
      }
      for (const message of readMessages(datagram)) {
        const at = message.sequence - options.first;
        const request = all[at];
        if (request === undefined || message.type !== NLMSG_ERROR) continue;
        const error = readError(request.type.kernelName, message);
        if (error !== undefined) refusals.push({ at: at - 1, error });
        if (at === 0 || at === options.acked) return refusals;
      }
    }
  }

  /** @param options.absence ENOENT is an answer and no error: most of what a new attachment asks for is not there, and an error takes time to make */
  #exchange(
    request: NetlinkRequest,
    extraFlags: number,
    options: { absence?: boolean } = {},
  ): { messages: NetlinkMessage[]; interrupted: boolean; absent: boolean } {
    const sequence = ++this.#sequence;
    this.#transport.send(encodeMessage(request, { flags: (request.flags ?? 0) | flags.REQUEST | extraFlags, sequence }));
    const messages: NetlinkMessage[] = [];
    let interrupted = false;
    for (;;) {
      const datagram = this.#transport.receive();
      if (datagram === undefined) throw new Error(`${request.type.kernelName}: no answer`);
      for (const message of readMessages(datagram)) {
        if (message.sequence !== sequence) continue; // the rest of an exchange that was given up
        if ((message.flags & flags.DUMP_INTR) !== 0) interrupted = true;
        if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
          if (options.absence === true && errnoOf(message) === ENOENT) return { messages, interrupted, absent: true };
          const error = readError(request.type.kernelName, message);
          if (error?.code === "EINTR" && extraFlags === flags.DUMP) interrupted = true;
          else if (error !== undefined) throw error;
          return { messages, interrupted, absent: false };
        }
        messages.push(message);
      }
    }
  }
}
