import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CniError, codes } from "../cni/error.ts";
import { isObject, type JsonObject, parseObject } from "../cni/json.ts";
import { readState } from "../support/bounded-file.ts";
import { makeDirectories } from "../support/directories.ts";
import { writeDurably } from "../support/durable-file.ts";
import { isErrno } from "../sys/errno.ts";

/** Where libcni keeps its state unless told otherwise; results lie in `results` below it. */
export const defaultCacheDirectory = "/var/lib/cni";

const KIND = "cniCacheV1";

/** CNI_ARGS as pairs, in order. */
export type ArgumentPairs = readonly (readonly [key: string, value: string])[];

/** What tells one cached attachment from another. */
export interface CacheKey {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}

/** One attachment as an ADD left it. */
export interface CachedAttachment extends CacheKey {
  /** Path of the namespace at the time of the ADD, as far as it was written down. */
  readonly netns: string | undefined;
  /** The list's JSON. */
  readonly config: Uint8Array;
  readonly cniArgs: ArgumentPairs;
  readonly capabilityArgs: JsonObject;
  /** The last plugin's result, in the version its `cniVersion` says. */
  readonly result: JsonObject | undefined;
}

/** A cached attachment as found on disk. */
export interface StoredAttachment extends CachedAttachment {
  /** Milliseconds since 1970 at which it was written. */
  readonly addedMs: number;
}

/**
 * libcni's cache of results, in its format and place (libcni/api.go), so that cnitool deletes what podlink added and the
 * reverse. Unlike libcni's it is written atomically, and a file that is empty, broken or older counts as absent.
 */
export class ResultCache {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = join(directory, "results");
  }

  /**
   * libcni's name for it; ambiguous where names contain `-`, so readers look at what is inside.
   * @throws CniError 4 for names that would lead out of the directory
   */
  path(key: CacheKey): string {
    if (!isSafe(key)) {
      const who = `"${key.network}"/"${key.containerId}"/"${key.ifname}"`;
      throw new CniError(codes.invalidEnvironment, `Cannot remember ${who}: names have no "/" and no NUL`);
    }
    return join(this.#directory, `${key.network}-${key.containerId}-${key.ifname}`);
  }

  write(attachment: CachedAttachment): void {
    const { cniArgs, capabilityArgs, netns, result } = attachment;
    const entry = {
      kind: KIND,
      containerId: attachment.containerId,
      config: Buffer.from(attachment.config).toString("base64"),
      ifName: attachment.ifname,
      networkName: attachment.network,
      ...(netns === undefined || netns === "" ? {} : { netns }),
      ...(cniArgs.length === 0 ? {} : { cniArgs }),
      ...(Object.keys(capabilityArgs).length === 0 ? {} : { capabilityArgs }),
      ...(result === undefined ? {} : { result }),
    };
    makeDirectories(this.#directory, 0o700);
    writeDurably(this.path(attachment), new TextEncoder().encode(JSON.stringify(entry)), { mode: 0o600 });
  }

  /** What is cached under the key; undefined also when the file is of no use. */
  read(key: CacheKey): StoredAttachment | undefined {
    const found = readEntry(this.path(key));
    const same = found?.network === key.network && found.containerId === key.containerId && found.ifname === key.ifname;
    return same ? found : undefined;
  }

  /** All attachments of all networks, whoever added them; files of no use are told to `skip`. */
  list(skip: (file: string) => void = () => {}): StoredAttachment[] {
    const attachments: StoredAttachment[] = [];
    for (const name of this.#names()) {
      const file = join(this.#directory, name);
      const found = readEntry(file);
      if (found === undefined) skip(file);
      else attachments.push(found);
    }
    return attachments;
  }

  /** Removing what is not there is no failure. */
  remove(key: CacheKey): void {
    rmSync(this.path(key), { force: true });
  }

  #names(): string[] {
    try {
      // a temporary file that a crash left starts with a dot, which no network's name does
      return readdirSync(this.#directory)
        .filter((name) => !name.startsWith("."))
        .sort();
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
      throw error;
    }
  }
}

function readEntry(file: string): StoredAttachment | undefined {
  let raw: JsonObject;
  let addedMs: number;
  try {
    const { content, mtimeMs } = readState(file);
    raw = parseObject(content, "cached result");
    addedMs = mtimeMs;
  } catch (error) {
    if (error instanceof Error && !isErrno(error, "EACCES", "EPERM", "EIO")) return undefined;
    throw error;
  }
  const { containerId, config, ifName, networkName, netns, capabilityArgs, result } = raw;
  if (raw.kind !== KIND || typeof containerId !== "string" || typeof ifName !== "string" || typeof networkName !== "string")
    return undefined;
  const key = { network: networkName, containerId, ifname: ifName };
  if (!isSafe(key)) return undefined;
  return {
    ...key,
    netns: typeof netns === "string" && netns !== "" ? netns : sandboxOf(result),
    config: Buffer.from(typeof config === "string" ? config : "", "base64"),
    cniArgs: pairs(raw.cniArgs),
    capabilityArgs: isObject(capabilityArgs) ? capabilityArgs : {},
    result: isObject(result) ? result : undefined,
    addedMs,
  };
}

/** libcni before 1.2 did not write the namespace down, but a result has its path with each interface in it. */
function sandboxOf(result: unknown): string | undefined {
  const interfaces = isObject(result) && Array.isArray(result.interfaces) ? result.interfaces : [];
  const sandboxes = new Set(interfaces.map((one: unknown) => (isObject(one) ? one.sandbox : undefined)));
  const paths = [...sandboxes].filter((path) => typeof path === "string" && path !== "");
  return paths.length === 1 ? String(paths[0]) : undefined;
}

function isSafe({ network, containerId, ifname }: CacheKey): boolean {
  return !/[/\0]/.test(network + containerId + ifname);
}

function pairs(value: unknown): ArgumentPairs {
  if (!Array.isArray(value)) return [];
  return value.flatMap((pair: unknown) => {
    if (!Array.isArray(pair)) return [];
    const [key, text]: unknown[] = pair;
    return typeof key === "string" && typeof text === "string" ? [[key, text] as const] : [];
  });
}
