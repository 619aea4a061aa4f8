import { parseResult } from "../cni/convert.ts";
import { CniError, codes } from "../cni/error.ts";
import type { Result } from "../cni/result.ts";
import { type DaemonAnswer, type DaemonRequest, HEARD_TIMEOUT_MS, type Heard } from "../dhcp/protocol.ts";
import { during, reason } from "../support/errors.ts";
import { isErrno } from "../sys/errno.ts";
import { AnswerTimeoutError, UnixClient } from "../sys/unix-client.ts";

/** To connect, to send, and beyond what the daemon says it needs. */
const MARGIN_MS = 5000;

/** However long the daemon says that it needs. */
const LONGEST_MS = 3_600_000;

/** Nobody answers at the socket: the daemon does not run, or hangs. */
export class DaemonAwayError extends CniError {}

/**
 * Asks the DHCP daemon, and waits for its answer.
 * @returns what was asked for
 * @throws DaemonAwayError (code 11) when there is no daemon; CniError with the daemon's own code and words
 */
export function askDaemon(socketPath: string, request: DaemonRequest): unknown {
  const answer = exchange(socketPath, request);
  if (answer.ok) return answer.result;
  throw new CniError(answer.code, answer.msg, answer.details === undefined ? {} : { details: answer.details });
}

/** Reads the lease in an answer of the daemon's, which is a result. @throws CniError 6 when it is none */
export function readLease(answer: unknown): Result {
  return during("read the DHCP daemon's answer", () => parseResult(answer, "1.1.0"));
}

function exchange(socketPath: string, request: DaemonRequest): DaemonAnswer {
  try {
    using client = UnixClient.connect(socketPath, { timeoutMs: MARGIN_MS });
    client.send(JSON.stringify(request));
    const { within } = parse(client.receive(HEARD_TIMEOUT_MS)) as Partial<Heard>;
    if (typeof within !== "number" || !(within >= 0)) throw new Error("what listens there is not podlink's daemon");
    const answer = parse(client.receive(Math.min(within, LONGEST_MS) + MARGIN_MS));
    if (isAnswer(answer)) return answer;
    throw new Error("its answer is none that podlink knows: is the daemon of another version?");
  } catch (error) {
    throw new DaemonAwayError(codes.tryAgainLater, `Cannot ask the DHCP daemon at "${socketPath}": ${why(error)}`, {
      details: wayOut(error),
      cause: error,
    });
  }
}

function parse(line: string): object {
  const value: unknown = JSON.parse(line);
  if (typeof value === "object" && value !== null) return value;
  throw new Error("its answer is no object");
}

function isAnswer(value: object): value is DaemonAnswer {
  if (!("ok" in value)) return false;
  if (value.ok === true) return "result" in value;
  if (value.ok !== false) return false;
  if (!("code" in value && typeof value.code === "number" && "msg" in value && typeof value.msg === "string")) return false;
  return !("details" in value) || typeof value.details === "string";
}

function why(error: unknown): string {
  if (isErrno(error, "ENOENT")) return "there is no such socket";
  if (isErrno(error, "ECONNREFUSED")) return "nobody listens there any more";
  if (error instanceof SyntaxError) return "what listens there is not podlink's daemon";
  return reason(error);
}

function wayOut(error: unknown): string {
  if (error instanceof AnswerTimeoutError) return "look at what it is doing: journalctl -u podlink-dhcp";
  return 'start it: systemctl start podlink-dhcp.socket, or run "podlink dhcp daemon"';
}
