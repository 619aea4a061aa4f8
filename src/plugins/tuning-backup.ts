import { fstatSync, readFileSync } from "node:fs";
import { isObject, type JsonObject } from "../cni/json.ts";
import type { Attachment } from "../cni/plugin.ts";
import { normalizeMac } from "../ip/mac.ts";
import type { Link } from "../link/links.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import { type LinkSettings, settingNames } from "../link/settings.ts";

// What an attachment was like before it was tuned. The reference keeps the interface's attributes at the top of a JSON object, those alone
// that the configuration changes; all that podlink adds stands under one key of its own, which the reference does not read.

const OWN_KEY = "podlink";

/** A sysctl before and after; `before` is absent where it could not be read. */
export interface TunedSysctl {
  /** Below /proc/sys. */
  readonly path: string;
  readonly before?: string;
  readonly after: string;
}

/** Tells a namespace and an interface from others that have the same path and name by now. */
export interface Place {
  /** Boot, device and inode. */
  readonly namespace: string;
  /** The interface's index and that of its other end. */
  readonly link: string;
}

interface Own extends Attachment {
  readonly place: Place;
  /** In the order in which they were set. */
  readonly sysctls: readonly TunedSysctl[];
}

export interface Backup {
  /** Lower-case MAC; what was not changed is absent. */
  readonly settings: Partial<LinkSettings>;
  /** Absent in what another implementation wrote. */
  readonly own?: Own;
}

/** Where an attachment's interface is right now. */
export function placeOf(container: NetworkNamespace, link: Link): Place {
  return { namespace: namespaceOf(container), link: `${link.index}/${link.peer ?? ""}` };
}

/** The part of a place that is the namespace's. */
export function namespaceOf(container: NetworkNamespace): string {
  const { dev, ino } = fstatSync(container.fd);
  return `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()}/${dev}/${ino}`;
}

/** The backup of an interface that is tuned once more: what was there before the first time counts, what is there after the last. */
export function mergeBackups(earlier: Backup, now: Required<Backup>): Backup {
  const byPath = new Map((earlier.own?.sysctls ?? []).map((sysctl) => [sysctl.path, sysctl]));
  for (const sysctl of now.own.sysctls) {
    const first = byPath.get(sysctl.path);
    byPath.set(sysctl.path, first === undefined ? sysctl : { ...first, after: sysctl.after });
  }
  return { settings: { ...now.settings, ...earlier.settings }, own: { ...now.own, sysctls: [...byPath.values()] } };
}

/** As the reference indents it. */
export function formatBackup({ settings, own }: Backup): string {
  const known = settingNames.filter((name) => settings[name] !== undefined).map((name) => [name, settings[name]]);
  return JSON.stringify({ ...Object.fromEntries(known), ...(own === undefined ? {} : { [OWN_KEY]: own }) }, null, 1);
}

/** Reads what it can of a text: what is damaged, as a crash of the reference leaves a file, holds nothing to restore. */
export function parseBackup(text: string): Backup {
  const raw = parseJson(text);
  const own = parseOwn(raw[OWN_KEY]);
  return { settings: parseSettings(raw), ...(own === undefined ? {} : { own }) };
}

function parseJson(text: string): JsonObject {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

function parseSettings({ mac, promisc, mtu, allmulti, txQLen }: JsonObject): Partial<LinkSettings> {
  const known = typeof mac === "string" ? tryMac(mac) : undefined;
  return {
    ...(known === undefined ? {} : { mac: known }),
    ...(typeof promisc === "boolean" ? { promisc } : {}),
    ...(isCount(mtu) && mtu > 0 ? { mtu } : {}),
    ...(typeof allmulti === "boolean" ? { allmulti } : {}),
    ...(isCount(txQLen) ? { txQLen } : {}),
  };
}

function tryMac(text: string): string | undefined {
  try {
    return normalizeMac(text);
  } catch {
    return undefined;
  }
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0xffffffff;
}

function parseOwn(raw: unknown): Own | undefined {
  if (!isObject(raw) || !isObject(raw.place) || !Array.isArray(raw.sysctls)) return undefined;
  const { network, containerId, ifname, place } = raw;
  if (!isText(network) || !isText(containerId) || !isText(ifname) || !isText(place.namespace) || !isText(place.link)) {
    return undefined;
  }
  const sysctls = raw.sysctls.filter(isTunedSysctl);
  return { network, containerId, ifname, place: { namespace: place.namespace, link: place.link }, sysctls };
}

function isTunedSysctl(raw: unknown): raw is TunedSysctl {
  return (
    isObject(raw) &&
    isText(raw.path) &&
    isSysctlPath(raw.path) &&
    (raw.before === undefined || isText(raw.before)) &&
    isText(raw.after)
  );
}

/** Below /proc/sys/net, whatever somebody wrote into the file. */
function isSysctlPath(path: string): boolean {
  const [top, ...words] = path.split("/");
  return top === "net" && words.length > 0 && !words.some((word) => word === "" || /^\.\.?$|\0/.test(word));
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}
