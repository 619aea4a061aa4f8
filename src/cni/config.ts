import {
  array,
  check,
  exactOptional,
  integer,
  looseObject,
  maxValue,
  metadata,
  minValue,
  nullable,
  number,
  object,
  pipe,
  string,
  unknown,
} from "valibot";
import { Address } from "../ip/address.ts";
import { parseMac } from "../ip/mac.ts";
import { Prefix } from "../ip/prefix.ts";

// Shapes shared by all plugins. A plugin lists in its own schema every key that it reads, the common ones too (`ipam`, `dns`,
// `runtimeConfig`, `args`); the core checks those it does not list. In a `looseObject` any further key is right, in an `object`
// it is noted on stderr. Addresses stay text: what was checked here can be parsed without a second thought.

/** The mark of a string that counts as absent when empty, as Go's address types read it; fold.ts drops such a key. */
const absentWhenEmpty = metadata<string, { readonly emptyMeansAbsent: true }>({ emptyMeansAbsent: true });

/** `10.1.2.3` or `fd00::3`; a key of this shape with an empty value counts as absent. */
export const address = pipe(
  string(),
  check((text) => Address.tryParse(text) !== undefined, "expected an IPv4 or IPv6 address"),
  absentWhenEmpty,
);

/** `10.1.2.3/24`: an address with the length of its network, host bits kept. */
export const cidr = pipe(
  string(),
  check((text) => Prefix.tryParse(text) !== undefined, "expected an address with the length of its network, as in 10.1.2.3/24"),
);

/** An address with or without a length, as the `ips` capability has it. */
export const addressOrCidr = pipe(
  string(),
  check(
    (text) => Address.tryParse(text) !== undefined || Prefix.tryParse(text) !== undefined,
    "expected an address, with or without the length of its network",
  ),
);

/** `c2:11:22:33:44:55`, in any form that Go's net.ParseMAC reads; an empty value counts as absent. */
export const mac = pipe(string(), check(isMac, "expected six bytes as in c2:11:22:33:44:55"), absentWhenEmpty);

function isMac(text: string): boolean {
  try {
    parseMac(text);
    return true;
  } catch {
    return false;
  }
}

/** A path, or nothing; the kernel's paths end at a null byte. */
export const path = pipe(
  string(),
  check((text) => !text.includes("\0"), "expected a path, which has no null byte"),
);

/** A whole number of 0..2^32-1, the range of most kernel attributes. */
export const uint32 = pipe(number(), integer(), minValue(0), maxValue(0xffffffff));

/** `dns` of a configuration or a result. */
export const dns = object({
  nameservers: exactOptional(array(string())),
  domain: exactOptional(string()),
  search: exactOptional(array(string())),
  options: exactOptional(array(string())),
});

/** One route of `ipam.routes` or a result; `scope` and `table` are the kernel's numbers. */
export const route = object({
  dst: cidr,
  gw: exactOptional(address),
  mtu: exactOptional(uint32),
  advmss: exactOptional(uint32),
  priority: exactOptional(uint32),
  table: exactOptional(uint32),
  scope: exactOptional(pipe(number(), integer(), minValue(0), maxValue(255))),
});

/** `ipam` as an interface plugin sees it: a type, and contents that are the IPAM plugin's business. */
export const ipam = looseObject({ type: exactOptional(string()) });

/** `cni.dev/valid-attachments` (GC). null is an empty list, as Go writes it; only an absent key means "not known". */
const attachments = nullable(array(looseObject({ containerID: string(), ifname: string() })));

/** The keys a configuration of any type may have (SPEC section 1, CONVENTIONS.md, and what libcni leaves in the request). */
export const common = looseObject({
  cniVersion: exactOptional(string()),
  name: exactOptional(string()),
  type: exactOptional(string()),
  ipam: exactOptional(ipam),
  dns: exactOptional(dns),
  prevResult: exactOptional(looseObject({})),
  runtimeConfig: exactOptional(looseObject({})),
  args: exactOptional(looseObject({})),
  capabilities: exactOptional(unknown()),
  "cni.dev/valid-attachments": exactOptional(attachments),
  "cni.dev/attachments": exactOptional(attachments), // an older spelling, which libcni still sends beside the other
  cniVersions: exactOptional(unknown()),
  disableCheck: exactOptional(unknown()),
  disableGC: exactOptional(unknown()),
  loadOnlyInlinedPlugins: exactOptional(unknown()),
});

/** Keys whose contents belong to somebody else: unknown ones inside them are never noted. */
export const foreign: readonly string[] = ["prevResult", "runtimeConfig", "args", "capabilities"];
