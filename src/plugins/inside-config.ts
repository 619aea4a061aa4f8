import { boolean, optional, string } from "valibot";
import { dns, ipam, uint32 } from "../cni/config.ts";
import { CniError, codes, excerpt } from "../cni/error.ts";
import type { Dns } from "../cni/result.ts";

// What the types have in common that put one interface into a container, upon a link that is there.

/** Keys for the addresses. */
export function addressEntries() {
  return { ipam: optional(ipam), dns: optional(dns) };
}

/** Keys for the link below, and the addresses. */
export function upperEntries() {
  return {
    master: optional(string()),
    mtu: optional(uint32),
    linkInContainer: optional(boolean()),
    enabledad: optional(boolean()),
    ...addressEntries(),
  };
}

interface AddressKeys {
  readonly ipam?: { readonly type?: string } | undefined;
  readonly dns?: { [K in keyof Dns]: Dns[K] | undefined } | undefined;
}

export interface AddressConfig {
  /** Undefined: an interface without addresses. */
  readonly ipamType: string | undefined;
  /** Replaces IPAM's when any key is there. */
  readonly dns: Dns | undefined;
}

export function resolveAddresses(keys: AddressKeys): AddressConfig {
  const { ipam: addresses, dns: own } = keys;
  const given = own !== undefined && Object.keys(own).some((key) => key !== "domain" || own.domain !== "");
  return {
    ipamType: addresses?.type === undefined || addresses.type === "" ? undefined : addresses.type,
    dns: given ? (own as Dns) : undefined,
  };
}

export interface UpperConfig extends AddressConfig {
  /** Undefined: the link of the default route. */
  readonly master: string | undefined;
  readonly linkInContainer: boolean;
  /** 0: the master's. */
  readonly mtu: number;
  readonly detectDuplicates: boolean;
}

export function resolveUpper(
  keys: AddressKeys & {
    readonly master?: string | undefined;
    readonly mtu?: number | undefined;
    readonly linkInContainer?: boolean | undefined;
    readonly enabledad?: boolean | undefined;
  },
): UpperConfig {
  return {
    ...resolveAddresses(keys),
    master: keys.master === "" ? undefined : keys.master,
    linkInContainer: keys.linkInContainer === true,
    mtu: keys.mtu ?? 0,
    detectDuplicates: keys.enabledad === true,
  };
}

/**
 * One of several words; an empty one is the first.
 * @param options.lenient any word will do, because an ADD with it made nothing: for DEL and GC
 * @throws CniError 7
 */
export function oneOf<T extends string>(
  value: string | undefined,
  options: { what: string; words: readonly [T, ...T[]]; lenient: boolean },
): T {
  const { lenient, what, words } = options;
  if (value === undefined || value === "") return words[0];
  const found = words.find((word) => word === value);
  if (found !== undefined) return found;
  if (lenient) return words[0];
  throw invalid(`unknown ${what}: ${excerpt(value)}`, `there are ${words.join(", ")}`);
}

/** Whether the verb takes away what an ADD may have left, and so must not mind what it was refused for. */
export function isRemoval(command: string): boolean {
  return command === "DEL" || command === "GC";
}

export function invalid(why: string, details: string): CniError {
  return new CniError(codes.invalidConfig, `Cannot use network configuration: ${why}`, { details });
}
