import { constants } from "node:os";
import { vi } from "vitest";
import { NetlinkSocket, type Transport } from "../../../src/sys/socket.ts";
import { refusal } from "../fake-kernel.ts";
import { splitMessages } from "../hex.ts";
import { type Change, netlinkChange } from "./points.ts";

/** The kernel, which refuses one of the changes asked of it over netlink, in the words of its own refusals. */
export class RefusingKernel {
  /** What was asked of it, in order. */
  readonly changes: Change[] = [];
  readonly #at: number;
  readonly #errno: number;

  /** @param at which change, from 0 on; -1: none */
  constructor(at = -1, errno: keyof typeof constants.errno = "EPERM") {
    this.#at = at;
    this.#errno = constants.errno[errno];
  }

  /** Does work in this process, of which every netlink socket leads to this kernel. */
  during<T>(work: () => T): T {
    const open = NetlinkSocket.open.bind(NetlinkSocket);
    const stand = (socket: Transport, protocol: number) => this.#transport(socket, protocol);
    const spy = vi.spyOn(NetlinkSocket, "open").mockImplementation((protocol, groups) => {
      return stand(open(protocol, groups), protocol) as NetlinkSocket;
    });
    try {
      return work();
    } finally {
      spy.mockRestore();
    }
  }

  #transport(socket: Transport, protocol: number): Transport {
    const answers: Uint8Array[] = [];
    return {
      send: (message) => {
        const change = netlinkChange(Buffer.from(message), protocol);
        const isRefused = change !== undefined && this.changes.push(change) - 1 === this.#at;
        if (isRefused) answers.push(this.#refuse(message));
        else socket.send(message);
      },
      receive: (timeoutMs) => answers.shift() ?? socket.receive(timeoutMs),
      [Symbol.dispose]: () => socket[Symbol.dispose](),
    };
  }

  /** Of a transaction it is the first operation that is refused. */
  #refuse(datagram: Uint8Array): Uint8Array {
    const [first, second] = splitMessages(datagram);
    const request = second ?? first;
    if (request === undefined) throw new Error("Nothing was sent");
    return refusal(request, this.#errno);
  }
}
