import { writeSync } from "node:fs";
import type { MessagePort, Worker } from "node:worker_threads";
import { libc } from "./libc.ts";

const EFD_CLOEXEC = 0o2000000; // sys/eventfd.h

/** What the thread is told: to wait for a descriptor too; to close one; to come to its end. */
type Order = { readonly add: number; readonly ticket: number } | { readonly remove: number } | { readonly end: true };

/**
 * What the thread tells: bytes that a descriptor gave, or the errno its recv(2) failed with. By ticket, because the descriptor's number
 * may be another's by the time this is read.
 */
type News =
  | { readonly ticket: number; readonly bytes: Uint8Array; readonly unchecked: boolean }
  | { readonly ticket: number; readonly errno: number };

/** Takes what comes for one descriptor. */
export interface Receiver {
  /** One datagram or frame. @param options.unchecked its sender's kernel left the checksum to a card that it never passed */
  received(bytes: Uint8Array, options: { readonly unchecked: boolean }): void;
  /** Receiving failed: 100 (ENETDOWN) when the link went down, 105 (ENOBUFS) when something was lost; after any other nothing comes any more. */
  failed(errno: number): void;
}

/**
 * Receives from sockets that Node's event loop does not take (packet and netlink sockets): a thread waits for all of them in poll(2),
 * and hands over what comes. It also closes them, so that it never reads from a number that has become another file's.
 */
export class Poller {
  readonly #worker: Worker;
  readonly #orders: MessagePort;
  readonly #wake: number;
  /** By ticket. */
  readonly #receivers = new Map<number, Receiver>();
  #tickets = 0;

  /** @param crashed is told should the thread end by itself: nothing is received from then on */
  constructor(crashed: (error: Error) => void) {
    const { MessageChannel, Worker: Thread } = process.getBuiltinModule("node:worker_threads");
    const { port1, port2 } = new MessageChannel();
    this.#orders = port1;
    this.#wake = libc("eventfd", 0, EFD_CLOEXEC);
    // Its text, because inside an executable there is no file for it: it must need nothing from around it
    this.#worker = new Thread(`(${waitAndReceive})()`, {
      eval: true,
      workerData: { orders: port2, wake: this.#wake },
      transferList: [port2],
      trackUnmanagedFds: false, // it closes what others opened
    });
    this.#worker.on("message", (news: News) => this.#deliver(news));
    this.#worker.on("error", crashed);
    port1.unref();
  }

  /** Takes over a descriptor, non-blocking. @returns what stops and closes it; nothing is delivered from then on */
  receive(fd: number, receiver: Receiver): Disposable {
    const ticket = ++this.#tickets;
    this.#receivers.set(ticket, receiver);
    this.#tell({ add: fd, ticket });
    return {
      [Symbol.dispose]: () => {
        if (this.#receivers.delete(ticket)) this.#tell({ remove: fd });
      },
    };
  }

  /** Ends the thread, which closes every descriptor; kept when it has. */
  async close(): Promise<void> {
    this.#receivers.clear();
    const ended = new Promise((resolve) => this.#worker.once("exit", resolve));
    this.#tell({ end: true });
    await ended;
    this.#orders.close();
  }

  #deliver(news: News): void {
    const receiver = this.#receivers.get(news.ticket);
    if ("bytes" in news) receiver?.received(news.bytes, news);
    else receiver?.failed(news.errno);
  }

  #tell(order: Order): void {
    this.#orders.postMessage(order);
    writeSync(this.#wake, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
  }
}

/** What the thread runs. Its text is all that gets there: nothing from outside of it may be named here. */
function waitAndReceive(): void {
  const { parentPort, receiveMessageOnPort, workerData } = process.getBuiltinModule("node:worker_threads");
  const { closeSync, readSync } = process.getBuiltinModule("node:fs");
  const { DynamicLibrary, getInt32, getRawPointer } = process.getBuiltinModule("node:ffi");
  const { orders, wake } = workerData as { orders: MessagePort; wake: number };
  const [POLLIN, EINTR, EAGAIN, ENETDOWN, ENOBUFS, LONGEST] = [1, 4, 11, 100, 105, 65_536];
  const [SOL_PACKET, PACKET_AUXDATA, TP_STATUS_CSUMNOTREADY, HEADER] = [263, 8, 8, 16]; // linux/if_packet.h; struct cmsghdr's length

  const library = new DynamicLibrary(null);
  const errnoLocation = library.getFunction("__errno_location", { return: "pointer", arguments: [] });
  const poll = library.getFunction("poll", { return: "i32", arguments: ["pointer", "u64", "i32"] });
  const recvmsg = library.getFunction("recvmsg", { return: "i64", arguments: ["i32", "pointer", "i32"] });
  const errno = () => getInt32(errnoLocation(), 0);

  const tickets = new Map<number, number>([[wake, 0]]); // by descriptor, the first being the one that wakes
  const buffer = Buffer.alloc(LONGEST);
  const control = Buffer.alloc(256);
  const vector = Buffer.alloc(16); // struct iovec
  vector.writeBigUInt64LE(getRawPointer(buffer), 0);
  vector.writeBigUInt64LE(BigInt(LONGEST), 8);
  const message = Buffer.alloc(56); // struct msghdr
  const receive = (fd: number): number => {
    control.fill(0);
    message.writeBigUInt64LE(getRawPointer(vector), 16);
    message.writeBigUInt64LE(1n, 24);
    message.writeBigUInt64LE(getRawPointer(control), 32);
    message.writeBigUInt64LE(BigInt(control.length), 40);
    return Number(recvmsg(fd, message, 0));
  };
  // The one control message a packet socket is asked for comes first
  const isUnchecked = (): boolean =>
    control.readInt32LE(8) === SOL_PACKET &&
    control.readInt32LE(12) === PACKET_AUXDATA &&
    (control.readUInt32LE(HEADER) & TP_STATUS_CSUMNOTREADY) !== 0;
  const counter = Buffer.alloc(8);
  for (;;) {
    const waiting = [...tickets.keys()];
    const descriptors = Buffer.alloc(waiting.length * 8); // struct pollfd each
    for (const [index, fd] of waiting.entries()) {
      descriptors.writeInt32LE(fd, index * 8);
      descriptors.writeInt16LE(POLLIN, index * 8 + 4);
    }
    if (poll(descriptors, BigInt(waiting.length), -1) < 0) {
      const failure = errno();
      if (failure === EINTR) continue;
      throw new Error(`poll: errno ${failure}`);
    }
    for (const [index, fd] of waiting.entries()) {
      if (fd === wake || descriptors.readInt16LE(index * 8 + 6) === 0) continue;
      const length = receive(fd);
      const failure = length < 0 ? errno() : 0;
      const ticket = tickets.get(fd);
      if (length >= 0) {
        const bytes = Uint8Array.from(buffer.subarray(0, length));
        parentPort?.postMessage({ ticket, bytes, unchecked: isUnchecked() });
      } else if (failure !== EAGAIN && failure !== EINTR) {
        if (failure !== ENETDOWN && failure !== ENOBUFS) tickets.delete(fd); // not closed: that is for its owner to say
        parentPort?.postMessage({ ticket, errno: failure });
      }
    }
    if (descriptors.readInt16LE(6) === 0) continue;
    readSync(wake, counter);
    for (let order = receiveMessageOnPort(orders); order !== undefined; order = receiveMessageOnPort(orders)) {
      const { add, ticket, remove, end } = order.message as { add?: number; ticket?: number; remove?: number; end?: true };
      if (add !== undefined) tickets.set(add, ticket ?? 0);
      if (remove !== undefined) {
        tickets.delete(remove);
        closeSync(remove);
      }
      if (end !== true) continue;
      for (const fd of tickets.keys()) closeSync(fd);
      return;
    }
  }
}
