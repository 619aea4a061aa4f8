import { isIdentifier } from "../cni/invocation.ts";
import { isObject, type JsonObject, parseObject } from "../cni/json.ts";
import { compareVersions, latestVersion, reaches } from "./spec-version.ts";

/** One plugin's part of a network: what it is handed, before the runtime's own keys are put in. */
export interface PluginConfig {
  readonly type: string;
  readonly json: JsonObject;
}

/** A network configuration list (SPEC section 1), as libcni understands it. */
export interface NetworkList {
  readonly name: string;
  /** The version all plugins of the list are spoken to in; may be one that does not exist, which the plugins then refuse. */
  readonly cniVersion: string;
  readonly disableCheck: boolean;
  readonly disableGC: boolean;
  readonly loadOnlyInlinedPlugins: boolean;
  readonly plugins: readonly PluginConfig[];
  /** The list's JSON, as the result cache keeps it. */
  readonly bytes: Uint8Array;
}

/**
 * Reads a list from its JSON. Its `plugins` may be missing when they may lie in files of their own.
 * @throws Error that says which key is at fault
 */
export function parseNetworkList(bytes: Uint8Array): NetworkList {
  const raw = parseObject(bytes, "network configuration");
  const loadOnlyInlinedPlugins = flag(raw, "loadOnlyInlinedPlugins");
  return {
    name: networkName(raw),
    cniVersion: chooseVersion(raw),
    disableCheck: flag(raw, "disableCheck"),
    disableGC: flag(raw, "disableGC"),
    loadOnlyInlinedPlugins,
    plugins: inlinedPlugins(raw, loadOnlyInlinedPlugins),
    bytes,
  };
}

/** Makes a list of a file with a single plugin, the form that is older than lists. */
export function listOfSinglePlugin(bytes: Uint8Array): NetworkList {
  const raw = parseObject(bytes, "network configuration");
  toPluginConfig(raw);
  const list = { cniVersion: raw.cniVersion ?? "", name: networkName(raw), plugins: [raw] };
  return parseNetworkList(new TextEncoder().encode(JSON.stringify(list)));
}

/** The list with plugins that come from files of their own behind its inlined ones. */
export function withMorePlugins(list: NetworkList, more: readonly PluginConfig[]): NetworkList {
  if (more.length === 0) return list;
  const plugins = [...list.plugins, ...more];
  const raw = { ...parseObject(list.bytes, "network configuration"), plugins: plugins.map(({ json }) => json) };
  return { ...list, plugins, bytes: new TextEncoder().encode(JSON.stringify(raw)) };
}

/** @throws Error when `type` is missing: nobody could be called */
export function toPluginConfig(value: unknown): PluginConfig {
  if (!isObject(value)) throw new Error(`"plugins" must hold objects, not ${JSON.stringify(value)}`);
  const { type } = value;
  if (typeof type !== "string" || type === "") throw new Error('missing "type" of a plugin');
  return { type, json: value };
}

function networkName(raw: JsonObject): string {
  const { name } = raw;
  if (name === undefined) throw new Error('missing "name"');
  if (typeof name !== "string" || name === "")
    throw new Error(`"name" must be a text that is not empty, not ${JSON.stringify(name)}`);
  // it becomes part of paths
  if (!isIdentifier(name)) throw new Error(`invalid characters in "name": ${JSON.stringify(name)}`);
  return name;
}

/** The highest of `cniVersions` and `cniVersion` that is not newer than what we speak; without `cniVersions` what `cniVersion` says. */
function chooseVersion(raw: JsonObject): string {
  const single = raw.cniVersion ?? "";
  if (typeof single !== "string") throw new Error(`"cniVersion" must be a text, not ${JSON.stringify(single)}`);
  const several = raw.cniVersions;
  if (several !== undefined) {
    if (!Array.isArray(several)) throw new Error(`"cniVersions" must be a list, not ${JSON.stringify(several)}`);
    const spoken = several.map(versionText).filter((version) => reaches(latestVersion, version));
    if (single !== "" && reaches(latestVersion, single)) spoken.push(single);
    const highest = spoken.sort(compareVersions).at(-1);
    if (highest !== undefined) return highest;
  }
  if (single !== "") compareVersions(single, single);
  return single === "" ? "0.1.0" : single; // SPEC: a configuration without a version is of the first one
}

function versionText(version: unknown): string {
  if (typeof version !== "string") throw new Error(`"cniVersions" must hold texts, not ${JSON.stringify(version)}`);
  return version;
}

function flag(raw: JsonObject, key: string): boolean {
  const value = raw[key];
  if (value === undefined || typeof value === "boolean") return value ?? false;
  const text = typeof value === "string" ? value.toLowerCase() : undefined;
  if (text === "true") return true;
  if (text === "false" || text === "") return false;
  throw new Error(`"${key}" must be true or false, not ${JSON.stringify(value)}`);
}

function inlinedPlugins(raw: JsonObject, required: boolean): PluginConfig[] {
  const { plugins } = raw;
  if (plugins === undefined) {
    if (required) throw new Error('"loadOnlyInlinedPlugins" is true and there is no "plugins"');
    return [];
  }
  if (!Array.isArray(plugins)) throw new Error('"plugins" must be a list');
  if (plugins.length === 0) throw new Error('"plugins" is empty');
  return plugins.map(toPluginConfig);
}
