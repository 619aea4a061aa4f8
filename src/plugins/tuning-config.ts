import { boolean, type InferOutput, looseObject, object, optional, record, string } from "valibot";
import { type Args, macOf } from "../cni/args.ts";
import { mac, uint32 } from "../cni/config.ts";
import { CniError, codes, excerpt } from "../cni/error.ts";
import { duplicateKeys } from "../cni/json-duplicates.ts";
import type { ConfigContext } from "../cni/plugin.ts";
import { normalizeMac } from "../ip/mac.ts";
import type { LinkSettings } from "../link/settings.ts";

const DEFAULT_DATA_DIRECTORY = "/run/cni/tuning";

/** What stands in a key for the name of the attachment's interface. */
const IFNAME = "IFNAME";

function changes() {
  return {
    sysctl: optional(record(string(), string())),
    mac: optional(mac),
    promisc: optional(boolean()),
    mtu: optional(uint32),
    allmulti: optional(boolean()),
    txQLen: optional(uint32),
  };
}

/** The keys of type `tuning`, as the reference has them. */
export function tuningSchema() {
  return object({
    ...changes(),
    dataDir: optional(string()),
    runtimeConfig: optional(looseObject({ mac: optional(mac) })),
    args: optional(looseObject({ cni: optional(looseObject(changes())) })),
  });
}

type TuningKeys = InferOutput<ReturnType<typeof tuningSchema>>;

/** A sysctl as it is asked for. */
export interface Sysctl {
  /** As it stands in the configuration. */
  readonly key: string;
  /** Below /proc/sys: `net/…`. */
  readonly path: string;
  readonly value: string;
}

/** What the verbs of type `tuning` work with. */
export interface TuningConfig {
  /** Where backups are kept. */
  readonly dataDir: string;
  /** In the order of the configuration; each path once. @param ifname of the attachment */
  sysctls(ifname: string): readonly Sysctl[];
  /** What the interface shall have; what is absent stays as it is. */
  readonly settings: Partial<LinkSettings>;
}

/** @throws CniError 7 for keys that name no sysctl of the network, or one twice; 4 for a MAC in CNI_ARGS that is none */
export function resolveTuning(keys: TuningKeys, context: ConfigContext): TuningConfig {
  const dataDir = keys.dataDir === undefined || keys.dataDir === "" ? DEFAULT_DATA_DIRECTORY : keys.dataDir;
  // What was refused at ADD must still go away
  if (context.command === "DEL" || context.command === "GC") return { dataDir, sysctls: () => [], settings: {} };
  refuseDuplicates(context);
  const given = keys.args?.cni ?? {};
  const wanted = { ...keys.sysctl, ...given.sysctl };
  for (const key of Object.keys(wanted)) sysctlPath(key, IFNAME);
  return {
    dataDir,
    sysctls: (ifname) => resolveSysctls(wanted, { ifname, overriding: given.sysctl ?? {} }),
    settings: resolveSettings(keys, context.args),
  };
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
function resolveSysctls(
  wanted: Readonly<Record<string, string>>,
  options: { ifname: string; overriding: Readonly<Record<string, string>> },
): Sysctl[] {
  const { ifname, overriding } = options;
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

/** `args` before the runtime's MAC, that before the one of CNI_ARGS, and the configuration's own last, as in the reference. */
function resolveSettings(keys: TuningKeys, args: Args): Partial<LinkSettings> {
  const given = keys.args?.cni ?? {};
  const wantedMac = given.mac ?? keys.runtimeConfig?.mac ?? macOf(args) ?? keys.mac;
  const promisc = given.promisc ?? keys.promisc;
  const mtu = given.mtu ?? keys.mtu;
  const allmulti = given.allmulti ?? keys.allmulti;
  const txQLen = given.txQLen ?? keys.txQLen;
  return {
    ...(wantedMac === undefined ? {} : { mac: normalizeMac(wantedMac) }),
    ...(promisc === true ? { promisc } : {}), // false is the reference's "not asked for"
    ...(mtu === undefined || mtu === 0 ? {} : { mtu }),
    ...(allmulti === undefined ? {} : { allmulti }),
    ...(txQLen === undefined ? {} : { txQLen }),
  };
}
