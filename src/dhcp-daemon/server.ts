import { chmodSync, lstatSync, renameSync, rmSync } from "node:fs";
import type { Server, Socket } from "node:net";
import { dirname } from "node:path";
import { toCniError } from "../cni/error.ts";
import { type DaemonAnswer, type DaemonRequest, LONGEST_REQUEST } from "../dhcp/protocol.ts";
import { makeDirectories } from "../support/directories.ts";
import { temporaryName } from "../support/durable-file.ts";
import { reason } from "../support/errors.ts";
import { parseRequest } from "./request.ts";

/** A connection that has said nothing for so long is closed. */
const IDLE_MS = 30_000;

export interface Answerer {
  /** Longest time an answer takes, milliseconds. */
  readonly withinMs: number;
  /** @param given.up is kept when the other side has closed the connection */
  answer(request: DaemonRequest, given: { up: Promise<void> }): Promise<unknown>;
  log(line: string): void;
}

/** The unix socket on which plugins ask, a JSON object a line. */
export class DaemonServer {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #answerer: Answerer;
  #path: string | undefined;

  constructor(answerer: Answerer) {
    const { createServer } = process.getBuiltinModule("node:net");
    this.#answerer = answerer;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /**
   * Listens on a socket that root alone can use: made beside `path` and then given that name, so that there is no moment in which it has
   * other permissions, or in which the name of a daemon that died leads nowhere.
   * @throws Error when another daemon answers there
   */
  async listen(path: string): Promise<void> {
    makeDirectories(dirname(path), 0o755);
    if (await isAnswered(path)) throw new Error(`Cannot listen on "${path}": another daemon does`);
    const temporary = temporaryName(path);
    await this.#listen({ path: temporary });
    chmodSync(temporary, 0o600);
    renameSync(temporary, path);
    this.#path = path;
  }

  /** Takes over a socket that listens already. */
  listenOn(fd: number): Promise<void> {
    return this.#listen({ fd });
  }

  #listen(where: { path: string } | { fd: number }): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(where, () => {
        this.#server.off("error", reject);
        this.#server.on("error", (error) => this.#answerer.log(`Cannot take a connection: ${error.message}`));
        resolve();
      });
    });
  }

  /** Closes the socket and every connection. */
  async close(): Promise<void> {
    if (this.#path !== undefined) rmSync(this.#path, { force: true });
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket);
    let text = "";
    let last = Promise.resolve();
    const up = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    socket.once("close", () => this.#sockets.delete(socket));
    socket.on("error", () => socket.destroy()); // the other side is gone: so is its wish
    socket.setTimeout(IDLE_MS, () => socket.destroy());
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => {
      text += chunk;
      for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        socket.setTimeout(0); // from now on it waits for us
        last = last.then(() => this.#answer(line, { socket, up }));
      }
      if (text.length <= LONGEST_REQUEST) return;
      this.#answerer.log(`Closed a connection: its request has more than ${LONGEST_REQUEST} bytes`);
      socket.destroy();
    });
  }

  async #answer(line: string, { socket, up }: { socket: Socket; up: Promise<void> }): Promise<void> {
    const say = (value: object) => void (socket.writable && socket.write(`${JSON.stringify(value)}\n`));
    say({ within: this.#answerer.withinMs });
    let answer: DaemonAnswer;
    try {
      if (line.length > LONGEST_REQUEST) throw new RangeError(`Cannot read request: more than ${LONGEST_REQUEST} bytes`);
      answer = { ok: true, result: await this.#answerer.answer(parseRequest(line), { up }) };
    } catch (error) {
      const { code, message, details } = toCniError(error);
      answer = { ok: false, code, msg: message, ...(details === undefined ? {} : { details }) };
      if (error instanceof RangeError) this.#answerer.log(reason(error));
    }
    say(answer);
  }
}

/** Whether somebody listens on a socket. */
async function isAnswered(path: string): Promise<boolean> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return false;
  if (!stat.isSocket()) throw new Error(`Cannot listen on "${path}": something else has that name`);
  const { connect } = process.getBuiltinModule("node:net");
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
