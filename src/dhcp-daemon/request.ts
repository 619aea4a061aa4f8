import {
  array,
  check,
  exactOptional,
  type GenericSchema,
  integer,
  literal,
  maxLength,
  maxValue,
  minValue,
  number,
  object,
  pipe,
  regex,
  safeParse,
  string,
  tuple,
  variant,
} from "valibot";
import { isIdentifier } from "../cni/invocation.ts";
import type { AllocateRequest, DaemonRequest } from "../dhcp/protocol.ts";

// Requests come from podlink's own plugin over a socket of root's, and are looked at all the same: what they name becomes names of files
// and bytes on the wire.

const identifier = pipe(string(), check(isIdentifier, "is no identifier"));
const ifname = pipe(
  string(),
  check((text) => /^[^/:\s%]+$/.test(text) && Buffer.byteLength(text) <= 15, "is no interface name"),
);
const octet = pipe(number(), integer(), minValue(1), maxValue(254));
const uint32 = pipe(number(), integer(), minValue(0), maxValue(0xffffffff));
const path = pipe(string(), regex(/^\/[^\0]*$/), maxLength(4096));
const hex = pipe(string(), regex(/^([0-9a-f]{2})*$/), maxLength(4096));

const owner = { containerId: identifier, ifname };
const attachment = object({ network: identifier, ...owner });

const allocate = object({
  call: literal("allocate"),
  attachment,
  netns: path,
  priority: exactOptional(uint32),
  request: pipe(array(octet), maxLength(254)),
  provide: pipe(array(tuple([octet, hex])), maxLength(254)),
});

const anyRequest = variant("call", [
  allocate,
  object({ call: literal("check"), attachment }),
  object({ call: literal("release"), attachment }),
  object({ call: literal("collect"), network: identifier, valid: array(object(owner)) }),
  object({ call: literal("status") }),
]);

/** Reads a request. @throws RangeError that says what is wrong with it */
export function parseRequest(line: string): DaemonRequest {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new RangeError("Cannot read request: it is no JSON", { cause: error });
  }
  return read<DaemonRequest>(anyRequest, value);
}

/** Reads the request that a lease came from, as its record has it. @throws RangeError */
export function parseAllocate(value: unknown): AllocateRequest {
  return read<AllocateRequest>(allocate, value);
}

function read<T>(schema: GenericSchema<unknown, T>, value: unknown): T {
  const parsed = safeParse(schema, value);
  if (parsed.success) return parsed.output;
  const [issue] = parsed.issues;
  const where = (issue.path ?? []).map(({ key }) => String(key)).join(".");
  throw new RangeError(`Cannot read request: ${JSON.stringify(where)}: ${issue.message}`);
}
