import { reason } from "../support/errors.ts";

/** Error codes of SPEC 1.1.0, section "Error", by what they mean; 8 is libcni's. */
export const codes = {
  incompatibleVersion: 1,
  unsupportedField: 2,
  unknownContainer: 3,
  invalidEnvironment: 4,
  ioFailure: 5,
  decodingFailure: 6,
  invalidConfig: 7,
  invalidNetns: 8,
  tryAgainLater: 11,
  unavailable: 50,
  limitedConnectivity: 51,
  internal: 999,
} as const;

/** A failure with the code a runtime acts on. `msg` stands alone; `details` adds the way out or the value at fault. */
export class CniError extends Error {
  readonly code: number;
  readonly details: string | undefined;

  constructor(code: number, msg: string, options: { details?: string; cause?: unknown } = {}) {
    super(msg, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details;
  }
}

/**
 * The one place where anything thrown becomes a CniError. The code and details are those of the CniError nearest in the
 * chain of causes, the message is the outermost one; without any CniError in the chain the code is 999.
 */
export function toCniError(error: unknown): CniError {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof CniError) {
      if (cause === error) return cause;
      const details = cause.details === undefined ? {} : { details: cause.details };
      return new CniError(cause.code, reason(error), { ...details, cause: error });
    }
  }
  return new CniError(codes.internal, reason(error), { cause: error });
}

/** Values of a configuration stand in messages, and a configuration may have any size; runtimes keep and show what they are told. */
const MAX_LETTERS = 8000;

/** The error object a plugin prints on stdout (SPEC "Error"); very long texts are cut. */
export function errorJson(error: CniError, cniVersion: string): string {
  const { code, message, details } = error;
  const more = details === undefined ? {} : { details: cut(details, MAX_LETTERS) };
  // another program's may be anything
  const known = Number.isSafeInteger(code) && code > 0 ? code : codes.internal;
  return `${JSON.stringify({ cniVersion, code: known, msg: cut(message, MAX_LETTERS), ...more }, null, 4)}\n`;
}

function cut(text: string, letters: number): string {
  return text.length <= letters ? text : `${text.slice(0, letters)}…`;
}

/**
 * The refusal of a configuration key that means something we cannot do (SPEC "Error", code 2: the message has key and value).
 * @param wayOut what to do instead, for `details`
 */
export function unsupported(key: string, value: unknown, wayOut: string): CniError {
  const msg = `Cannot use network configuration: ${JSON.stringify(key)} is ${excerpt(value)}: not supported`;
  return new CniError(codes.unsupportedField, msg, { details: wayOut });
}

/** A value as it stands in a message: JSON, cut after 80 characters. */
export function excerpt(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return cut(text, 80);
}
