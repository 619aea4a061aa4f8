import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CniError, codes } from "../cni/error.ts";
import { parseObject } from "../cni/json.ts";
import { reason } from "../support/errors.ts";
import { isErrno } from "../sys/errno.ts";
import {
  listOfSinglePlugin,
  type NetworkList,
  type PluginConfig,
  parseNetworkList,
  toPluginConfig,
  withMorePlugins,
} from "./network-list.ts";

/** A network, and the file it was found in. */
export interface LoadedNetwork {
  readonly list: NetworkList;
  readonly file: string;
}

/**
 * All networks of a configuration directory in libcni's order: `*.conflist` by name, then `*.conf` and `*.json` by name.
 * A file that cannot be used is told to `skip` with the reason and does not keep the others from loading (in libcni it does).
 * @throws CniError when the directory cannot be read
 */
export function loadNetworks(directory: string, skip: (file: string, why: string) => void): LoadedNetwork[] {
  const names = configurationFiles(directory);
  const lists = names.filter((name) => name.endsWith(".conflist"));
  const singles = names.filter((name) => name.endsWith(".conf") || name.endsWith(".json"));
  const networks: LoadedNetwork[] = [];
  for (const name of [...lists, ...singles]) {
    const file = join(directory, name);
    try {
      networks.push({
        list: name.endsWith(".conflist") ? loadList(directory, file) : listOfSinglePlugin(readFileSync(file)),
        file,
      });
    } catch (error) {
      skip(file, reason(error));
    }
  }
  return networks;
}

/**
 * The network of this name: the first in libcni's order. Broken files are told to `skip`, as by `loadNetworks`.
 * @throws CniError that lists the networks there are, and the files that could not be used
 */
export function loadNetwork(
  directory: string,
  options: { name: string; skip: (file: string, why: string) => void },
): LoadedNetwork {
  const skipped: string[] = [];
  const networks = loadNetworks(directory, (file, why) => {
    skipped.push(`"${file}" cannot be used: ${why}`);
    options.skip(file, why);
  });
  const found = networks.find(({ list }) => list.name === options.name);
  if (found !== undefined) return found;
  const names = [...new Set(networks.map(({ list }) => `"${list.name}"`))];
  const known = names.length === 0 ? "it has no usable one" : `it has ${names.join(", ")}`;
  throw new CniError(codes.invalidConfig, `Cannot find network "${options.name}" in "${directory}": ${known}`, {
    ...(skipped.length === 0 ? {} : { details: skipped.join("; ") }),
  });
}

function loadList(directory: string, file: string): NetworkList {
  const list = parseNetworkList(readFileSync(file));
  const complete = list.loadOnlyInlinedPlugins ? list : withMorePlugins(list, pluginFiles(join(directory, list.name)));
  if (complete.plugins.length === 0) throw new Error(`no "plugins", and no *.conf in "${join(directory, list.name)}"`);
  return complete;
}

function pluginFiles(directory: string): PluginConfig[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
  return names
    .filter((name) => name.endsWith(".conf"))
    .sort()
    .map((name) => {
      const file = join(directory, name);
      try {
        return toPluginConfig(parseObject(readFileSync(file), "plugin configuration"));
      } catch (error) {
        throw new Error(`plugin file "${file}": ${reason(error)}`, { cause: error });
      }
    });
}

function configurationFiles(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    throw new CniError(codes.invalidConfig, `Cannot read the configuration directory "${directory}": ${reason(error)}`, {
      details: "NETCONFPATH names another one",
      cause: error,
    });
  }
}
