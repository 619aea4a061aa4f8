import { Address } from "../ip/address.ts";
import { sha512 } from "../support/sha512.ts";
import type { Options } from "./message.ts";
import { END, OPTION, optionCode, PAD } from "./option-codes.ts";
import { writeNumber } from "./option-values.ts";

/** One of `ipam.provide`: the value is that of `fromArg` in CNI_ARGS, and where there is none, `value`. */
export interface ProvideKeys {
  readonly option: string;
  readonly value?: string | undefined;
  readonly fromArg?: string | undefined;
}

/** One of `ipam.request`. */
export interface RequestKeys {
  readonly option?: string | undefined;
  /** Nothing is asked for but what the list names. */
  readonly skipDefault?: boolean | undefined;
}

export interface ResolvedOptions {
  readonly provide: Options;
  /** Option numbers for option 55, in order of preference. */
  readonly request: readonly number[];
}

/** RFC 3442: the classless routes stand before those they replace. */
const DEFAULT_REQUEST = [
  OPTION["subnet-mask"],
  OPTION["classless-static-routes"],
  OPTION.routers,
  OPTION["static-routes"],
  OPTION["domain-name-servers"],
  OPTION["domain-name"],
  OPTION["domain-search"],
  OPTION["interface-mtu"],
  OPTION["dhcp-lease-time"],
  OPTION["dhcp-renewal-time"],
  OPTION["dhcp-rebinding-time"],
];

/** What the client says itself, and must be right about. */
const OWN: readonly number[] = [
  PAD,
  OPTION["dhcp-option-overload"],
  OPTION["dhcp-message-type"],
  OPTION["dhcp-server-identifier"],
  OPTION["dhcp-parameter-request-list"],
  END,
];

/** With the options of our own, a message stays below the 1500 bytes of a link. */
const MAX_PROVIDED = 1000;

/**
 * Turns a configuration's `provide` and `request` into bytes.
 * @param keys.args of CNI_ARGS; an entry without any value provides nothing
 * @throws RangeError that names the entry
 */
export function resolveOptions(keys: {
  readonly provide?: readonly ProvideKeys[] | undefined;
  readonly request?: readonly RequestKeys[] | undefined;
  readonly args: ReadonlyMap<string, string>;
}): ResolvedOptions {
  const provide = new Map<number, Uint8Array>();
  for (const [i, entry] of (keys.provide ?? []).entries()) {
    const { option, value, fromArg } = entry;
    const code = codeOf(option, `provide[${i}]`);
    if (OWN.includes(code)) throw new RangeError(`Cannot provide option ${JSON.stringify(option)}: podlink sets it itself`);
    const text = (fromArg ? keys.args.get(fromArg) : undefined) || value;
    if (!text) continue;
    const bytes = encodeValue(code, text);
    if (bytes.length > 255)
      throw new RangeError(`Cannot provide option ${JSON.stringify(option)}: ${bytes.length} bytes, at most 255 are allowed`);
    provide.set(code, bytes);
  }
  const size = [...provide.values()].reduce((sum, value) => sum + value.length + 2, 0);
  if (size > MAX_PROVIDED) throw new RangeError(`Cannot provide options of ${size} bytes: ${MAX_PROVIDED} fit into a message`);
  return { provide, request: resolveRequest(keys.request ?? []) };
}

function resolveRequest(entries: readonly RequestKeys[]): number[] {
  const codes = new Set<number>(entries.some((entry) => entry.skipDefault === true) ? [] : DEFAULT_REQUEST);
  for (const [i, { option }] of entries.entries()) {
    if (!option) continue;
    const code = codeOf(option, `request[${i}]`);
    if (code === PAD || code === END) throw new RangeError(`Cannot request option ${JSON.stringify(option)}: it has no value`);
    codes.add(code);
  }
  return [...codes];
}

function codeOf(option: string, where: string): number {
  const code = optionCode(option);
  if (code !== undefined) return code;
  const known = Object.keys(OPTION).join(", ");
  throw new RangeError(`Cannot use option ${JSON.stringify(option)} of ${where}: neither a number 0..255 nor one of ${known}`);
}

const ADDRESSES: readonly number[] = [OPTION["dhcp-requested-address"], OPTION["subnet-mask"]];
const SECONDS: readonly number[] = [OPTION["dhcp-lease-time"], OPTION["dhcp-renewal-time"], OPTION["dhcp-rebinding-time"]];
const SHORTS: readonly number[] = [OPTION["dhcp-max-message-size"], OPTION["interface-mtu"]];

/** Text as its bytes, like the reference; but for options that are numbers, where the text of one would be nonsense to a server. */
function encodeValue(code: number, text: string): Uint8Array {
  if (ADDRESSES.includes(code)) {
    const address = Address.tryParse(text);
    if (address?.family === 4) return address.toBytes();
    throw new RangeError(`Cannot provide option ${code}: ${JSON.stringify(text)} is no IPv4 address`);
  }
  if (SECONDS.includes(code)) return encodeNumber(code, { text, size: 4 });
  if (SHORTS.includes(code)) return encodeNumber(code, { text, size: 2 });
  return new TextEncoder().encode(text);
}

function encodeNumber(code: number, { text, size }: { text: string; size: 2 | 4 }): Uint8Array {
  if (/^[0-9]{1,10}$/.test(text) && Number(text) < 256 ** size) return writeNumber(Number(text), size);
  throw new RangeError(`Cannot provide option ${code}: ${JSON.stringify(text)} is no number of ${size} bytes`);
}

const MAX_ID = 254;
const HASH_LETTERS = 64;

/**
 * Value of option 61: type 0 ("no hardware address", RFC 2132 section 9.14) and `<container ID>/<network>/<ifname>`, as the reference has it.
 * Where that is longer than an option can be, its end becomes a hash of the whole, so that no two attachments get one lease.
 */
export function clientIdOf(attachment: {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}): Uint8Array {
  const id = `${attachment.containerId}/${attachment.network}/${attachment.ifname}`;
  const bytes = new TextEncoder().encode(id);
  if (bytes.length <= MAX_ID) return Uint8Array.of(0, ...bytes);
  const hash = new TextEncoder().encode(`/${sha512(id).slice(0, HASH_LETTERS)}`);
  return Uint8Array.of(0, ...bytes.subarray(0, MAX_ID - hash.length), ...hash);
}
