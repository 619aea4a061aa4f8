import { type ClientHttp2Session, connect } from "node:http2";
import { createConnection } from "node:net";

const HEADER = 5; // whether the message is compressed, and its length

/** Calls of a gRPC service at a unix socket (github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md), one message each way. */
export class GrpcClient implements Disposable {
  readonly #session: ClientHttp2Session;
  readonly #service: string;
  #failure: Error | undefined;

  /** @param options.service with its package: `runtime.v1.RuntimeService` */
  constructor(socket: string, { service }: { service: string }) {
    this.#session = connect("http://localhost", { createConnection: () => createConnection(socket) });
    this.#session.on("error", (error) => {
      this.#failure = error;
    });
    this.#service = service;
  }

  /** @throws Error with the server's words when it answers anything but OK, or no more */
  call(method: string, message: Uint8Array): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const fail = (why: string) => reject(new Error(`${method}: ${why}`, { cause: this.#failure }));
      const stream = this.#session.request({
        ":method": "POST",
        ":path": `/${this.#service}/${method}`,
        "content-type": "application/grpc",
        te: "trailers",
      });
      const chunks: Buffer[] = [];
      let [status, words] = ["", ""];
      const note = (headers: Record<string, unknown>) => {
        status = String(headers["grpc-status"] ?? status);
        words = decodeURIComponent(String(headers["grpc-message"] ?? words));
      };
      stream.on("response", note).on("trailers", note); // an answer without a message has no trailers
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("error", (error) => fail(error.message));
      stream.on("close", () => {
        const answer = Buffer.concat(chunks);
        if (status === "0") resolve(answer.subarray(HEADER));
        else fail(words === "" ? "the connection was closed" : words);
      });
      const header = Buffer.alloc(HEADER);
      header.writeUInt32BE(message.length, 1);
      stream.end(Buffer.concat([header, message]));
    });
  }

  [Symbol.dispose](): void {
    this.#session.destroy();
  }
}
