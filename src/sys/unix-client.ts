import { closeSync } from "node:fs";
import { now } from "../support/clock.ts";
import { isErrno, SyscallError } from "./errno.ts";
import { libc } from "./libc.ts";

// bits/socket.h, asm-generic/socket.h, poll.h
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_SNDTIMEO = 21;
const MSG_NOSIGNAL = 0x4000;
const POLLIN = 1;

/** Bytes of a path that a struct sockaddr_un holds beside the NUL at its end. */
const LONGEST_PATH = 107;
/** More than any answer has, and an end to what a server gone wild can fill our memory with. */
const LONGEST_LINE = 1_048_576;
const NEWLINE = 10;

/** The server did not answer in time. */
export class AnswerTimeoutError extends Error {}

/** A connection to a unix socket that speaks in lines, for one thread that waits for each answer; taken with `using`. */
export class UnixClient implements Disposable {
  readonly #fd: number;
  #received: Buffer = Buffer.alloc(0);

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * @param options.timeoutMs for the connection, and for each line sent
   * @throws SyscallError: ENOENT, ECONNREFUSED where nobody listens, EACCES, EAGAIN when nobody took the connection in time
   */
  static connect(path: string, options: { timeoutMs: number }): UnixClient {
    const name = Buffer.from(path);
    if (name.length > LONGEST_PATH) throw new Error(`the path has ${name.length} bytes, ${LONGEST_PATH} at most`);
    const address = Buffer.alloc(2 + name.length + 1); // struct sockaddr_un
    address.writeUInt16LE(AF_UNIX, 0);
    name.copy(address, 2);
    const client = new UnixClient(libc("socket", AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    try {
      const time = Buffer.alloc(16); // struct timeval
      time.writeBigInt64LE(BigInt(Math.floor(options.timeoutMs / 1000)), 0);
      time.writeBigInt64LE(BigInt(options.timeoutMs % 1000) * 1000n, 8);
      libc("setsockopt", client.#fd, SOL_SOCKET, SO_SNDTIMEO, time, time.length);
      retryInterrupted(() => libc("connect", client.#fd, address, address.length));
      return client;
    } catch (error) {
      client[Symbol.dispose]();
      throw error;
    }
  }

  /** Sends a line; `text` has none of its own ends. */
  send(text: string): void {
    const bytes = Buffer.from(`${text}\n`);
    for (let sent = 0; sent < bytes.length; ) {
      const rest = bytes.subarray(sent);
      sent += retryInterrupted(() => libc("sendto", this.#fd, rest, BigInt(rest.length), MSG_NOSIGNAL));
    }
  }

  /** The next line, without its end. @throws AnswerTimeoutError; Error when the server closes before its end */
  receive(timeoutMs: number): string {
    const deadline = now() + timeoutMs;
    for (;;) {
      const end = this.#received.indexOf(NEWLINE);
      if (end >= 0) {
        const line = this.#received.toString("utf8", 0, end);
        this.#received = this.#received.subarray(end + 1);
        return line;
      }
      if (this.#received.length > LONGEST_LINE) throw new Error(`its answer has more than ${LONGEST_LINE} bytes`);
      this.#waitForMore(deadline, timeoutMs);
      const chunk = Buffer.alloc(65_536);
      const length = retryInterrupted(() => libc("recvfrom", this.#fd, chunk, BigInt(chunk.length), 0));
      if (length === 0) throw new Error("it closed the connection without an answer");
      this.#received = Buffer.concat([this.#received, chunk.subarray(0, length)]);
    }
  }

  #waitForMore(deadline: number, timeoutMs: number): void {
    const descriptor = Buffer.alloc(8); // struct pollfd
    descriptor.writeInt32LE(this.#fd, 0);
    descriptor.writeInt16LE(POLLIN, 4);
    const left = () => Math.max(0, Math.ceil(deadline - now()));
    if (retryInterrupted(() => libc("poll", descriptor, 1n, left())) === 0) {
      throw new AnswerTimeoutError(`it has not answered in ${timeoutMs} ms`);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

function retryInterrupted(call: () => number): number {
  for (;;) {
    try {
      return call();
    } catch (error) {
      if (!(error instanceof SyscallError) || !isErrno(error, "EINTR")) throw error;
    }
  }
}
