import { CniError, codes, excerpt } from "../cni/error.ts";
import { duplicateKeys } from "../cni/json-duplicates.ts";
import type { ConfigContext } from "../cni/plugin.ts";

/** What stands in a key for the name of the attachment's interface. */
const IFNAME = "IFNAME";

/** A sysctl as it is asked for. */
export interface Sysctl {
  /** As it stands in the configuration. */
  readonly key: string;
  /** Below /proc/sys: `net/…`. */
  readonly path: string;
  readonly value: string;
}

/** In the order of the configuration; each path once. @param ifname of the attachment */
export type Sysctls = (ifname: string) => readonly Sysctl[];

/**
 * Reads the keys `sysctl` and `args.cni.sysctl`.
 * @throws CniError 7 for keys that name no sysctl of the network, or one twice
 */
export function resolveSysctls(
  { overriding, own }: Record<"own" | "overriding", Readonly<Record<string, string>>>,
  context: ConfigContext,
): Sysctls {
  refuseDuplicates(context);
  const wanted = { ...own, ...overriding };
  for (const key of Object.keys(wanted)) sysctlPath(key, IFNAME);
  return (ifname) => resolveFor(ifname, { wanted, overriding });
}

function refuseDuplicates({ text }: ConfigContext): void {
  if (text === undefined) return;
  const found = [["sysctl"], ["args", "cni", "sysctl"]].flatMap((path) => duplicateKeys(text(), path));
  if (found.length > 0) throw duplicate(found.map((key) => excerpt(key)).join(", "));
}

function duplicate(which: string): CniError {
  return new CniError(codes.invalidConfig, `duplicated sysctl keys are not allowed: ${which}`, {
    details: "which of the values counts would be a matter of chance",
  });
}

/** What `args` says replaces what the configuration says of the same sysctl, however the key is spelled; the place in the order stays. */
function resolveFor(
  ifname: string,
  { overriding, wanted }: Record<"wanted" | "overriding", Readonly<Record<string, string>>>,
): Sysctl[] {
  const byPath = new Map<string, Sysctl>();
  for (const [key, value] of Object.entries(wanted)) {
    const path = sysctlPath(key, ifname);
    const same = byPath.get(path);
    const replaces = same !== undefined && Object.hasOwn(overriding, key) && !Object.hasOwn(overriding, same.key);
    if (same !== undefined && same.value !== value && !replaces) throw duplicate(`${excerpt(same.key)} and ${excerpt(key)}`);
    byPath.set(path, { key, path, value });
  }
  return [...byPath.values()];
}

/**
 * Where below /proc/sys a key leads. Dots and slashes both part its words, as in the reference; an interface's name (between `conf` or
 * `neigh` and the last word) may have dots of its own.
 * @throws CniError 7 for what is not below `net`
 */
export function sysctlPath(key: string, ifname: string): string {
  const words = key.split(/[./]/).filter((word) => word !== "");
  const last = words.at(-1);
  if (words[0] !== "net" || words.length < 2 || last === undefined || key.includes("..") || /[\s\p{Cc}]/u.test(key)) {
    throw new CniError(codes.invalidConfig, `invalid net sysctl key: ${excerpt(key)}`, {
      details: 'a key is a path below /proc/sys/net, as in net.ipv4.conf.IFNAME.arp_filter or net/core/somaxconn, without ".."',
    });
  }
  const parent = words.findIndex((word) => word === "conf" || word === "neigh");
  const names = parent < 0 || parent + 2 >= words.length ? words : withDottedName(words, { start: parent + 1, last });
  return names.map((word) => word.replaceAll(IFNAME, () => ifname)).join("/");
}

function withDottedName(words: readonly string[], { start, last }: { start: number; last: string }): string[] {
  return [...words.slice(0, start), words.slice(start, -1).join("."), last];
}
