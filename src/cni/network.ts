import { exactOptional, looseObject, string } from "valibot";
import { read } from "./check.ts";
import { common, foreign } from "./config.ts";
import { CniError, codes, unsupported } from "./error.ts";
import { formatPath, type UnknownKey } from "./fold.ts";
import { type Command, isIdentifier } from "./invocation.ts";
import { type JsonObject, quoteList } from "./json.ts";
import type { Plugin, ValidAttachment } from "./plugin.ts";
import { takeAttachments } from "./valid-attachments.ts";
import { atLeast, isVersion, type Version, versions } from "./version.ts";

// The network configuration on stdin: first the checks that are the same for every type, then the type's own keys.

const headerSchema = looseObject({ name: exactOptional(string(), ""), cniVersion: exactOptional(string(), "") });

export interface Header {
  readonly name: string;
  /** As the configuration says it; "" is 0.1.0. */
  readonly cniVersion: string;
}

/** @throws CniError 7 when either is no text */
export function readHeader(raw: JsonObject): Header {
  return read(headerSchema, raw);
}

/** The network's name, which becomes part of paths and names. @throws CniError 7 */
export function requireName({ name }: Header): string {
  if (name === "")
    throw new CniError(codes.invalidConfig, "missing network name", { details: 'the configuration needs a "name"' });
  if (!isIdentifier(name)) {
    throw new CniError(codes.invalidConfig, "invalid characters found in network name", { details: name });
  }
  return name;
}

/** The oldest version that has the verb, for those that came later. */
const introduced: Partial<Record<Command, Version>> = { CHECK: "0.4.0", GC: "1.1.0", STATUS: "1.1.0" };

/** The configuration's version, if it is one that has `command`. @throws CniError 1 */
export function requireVersion(header: Header, command: Command): Version {
  const version = header.cniVersion === "" ? "0.1.0" : header.cniVersion;
  const minimum = introduced[command];
  if (minimum !== undefined && isOlder(version, minimum)) {
    throw new CniError(codes.incompatibleVersion, `config version does not allow ${command}`, {
      details: `config is "${version}", ${command} needs "${minimum}" or later`,
    });
  }
  if (isVersion(version)) return version;
  throw new CniError(codes.incompatibleVersion, "incompatible CNI versions", {
    details: `config is ${JSON.stringify(version)}, plugin supports ${quoteList(versions)}`,
  });
}

function isOlder(version: string, minimum: Version): boolean {
  return isVersion(version) && !atLeast(version, minimum);
}

export interface Configuration {
  /** What the plugin's schema made of the configuration. */
  readonly keys: unknown;
  /** Keys that nobody knows, as paths; they are ignored. */
  readonly ignored: readonly string[];
  readonly prevResult: JsonObject | undefined;
  /** Attachments that still exist (GC); undefined when the configuration has no such key, which is not the same as none. */
  readonly valid: readonly ValidAttachment[] | undefined;
}

/**
 * Checks the configuration against the common keys and those of `plugin`.
 * @throws CniError 7 for a wrong type or value, 2 for an unknown key where the plugin is strict
 */
export function readConfiguration(plugin: Plugin, raw: JsonObject): Configuration {
  const listed = takeAttachments(raw);
  const shared = read(common, listed?.rest ?? raw);
  const found: UnknownKey[] = [];
  const keys = read(plugin.schema(), raw, { unknown: found });
  const unknown = found.filter(({ path: [top, ...below] }) => {
    if (plugin.ipam) return top === "ipam" && below.length > 0;
    if (below.length > 0) return top !== "ipam" && !foreign.includes(String(top));
    return !commonNames().has(String(top).toLowerCase());
  });
  const [first] = unknown;
  if (plugin.strict && !plugin.ipam && first !== undefined) {
    const others = unknown.slice(1).map(({ path }) => formatPath(path));
    const more = others.length === 0 ? "" : `; nor ${others.join(", ")}`;
    throw unsupported(formatPath(first.path), first.value, `plugin type "${plugin.type}" has no such key${more}`);
  }
  const attachments = "cni.dev/valid-attachments" in shared ? shared["cni.dev/valid-attachments"] : shared["cni.dev/attachments"];
  const checked =
    attachments === null ? [] : attachments?.map(({ containerID, ifname }) => ({ containerId: containerID, ifname }));
  return {
    keys,
    ignored: unknown.map(({ path }) => formatPath(path)),
    prevResult: shared.prevResult,
    valid: listed?.valid ?? checked,
  };
}

function commonNames(): Set<string> {
  return new Set(Object.keys(common.entries).map((name) => name.toLowerCase()));
}
