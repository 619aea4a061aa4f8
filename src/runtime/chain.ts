import { formatResult, parseResult } from "../cni/convert.ts";
import { CniError, codes, toCniError } from "../cni/error.ts";
import { type JsonObject, parseObject } from "../cni/json.ts";
import { during, Failures, reason } from "../support/errors.ts";
import { shellWord } from "../support/shell-word.ts";
import type { CacheKey, StoredAttachment } from "./cache.ts";
import type { NetworkList, PluginConfig } from "./network-list.ts";
import { type Attachment, callPlugin, type Runtime } from "./plugin-call.ts";
import { reaches } from "./spec-version.ts";

// The verbs over a whole list, as libcni (libcni/api.go) calls the plugins. Where libcni leaves a half done job, its runtimes
// finish it by a second call; a person has no second call in mind, so ADD undoes and DEL goes on.

/**
 * Runs ADD of every plugin, each with the result of the one before it, and caches the last one's.
 * A failure is followed by DEL of the whole list if `undo` says so.
 * @returns the last result, in the list's version
 * @throws Error of the first plugin that failed; its details tell what became of the undoing
 */
export function addNetwork(runtime: Runtime, list: NetworkList, options: { attachment: Attachment; undo: boolean }): JsonObject {
  const { attachment } = options;
  const action = `add "${attachment.ifname}" of "${attachment.containerId}" to network "${list.name}"`;
  try {
    return during(action, () => {
      const result = addPlugins(runtime, list, attachment);
      const key = keyOf(list, attachment);
      // a person would not write it, and the network is there without
      runtime.steps.run(`# remember the result in ${JSON.stringify(runtime.cache.path(key))}`, () =>
        runtime.cache.write({ ...key, ...attachment, config: list.bytes, result }),
      );
      return result;
    });
  } catch (error) {
    throw withNote(
      error,
      options.undo ? undoneBy(runtime, list, attachment) : `nothing was undone, because "${attachment.ifname}" was there before`,
    );
  }
}

/**
 * Runs DEL of every plugin, last one first. All of them run; the cached result stays as long as one fails.
 * @throws Error that names every failure
 */
export function delNetwork(runtime: Runtime, list: NetworkList, attachment: Attachment): void {
  const key = keyOf(list, attachment);
  const cached = reaches(list.cniVersion, "0.4.0") ? runtime.cache.read(key)?.result : undefined;
  const inject = cached === undefined ? {} : { prevResult: cached };
  const failures: unknown[] = [];
  for (const plugin of list.plugins.toReversed()) {
    try {
      callPlugin(runtime, { list, plugin }, { command: "DEL", attachment, inject });
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length > 0) {
    const action = `Cannot delete "${attachment.ifname}" of "${attachment.containerId}" from network "${list.name}"`;
    throw new Error(`${action}: ${failures.map(reason).join("; ")}`, { cause: failures[0] });
  }
  runtime.steps.run(`rm -f ${shellWord(runtime.cache.path(key))}`, () => runtime.cache.remove(key));
}

/**
 * Runs CHECK of every plugin until one fails.
 * @throws CniError also when the list's version has no CHECK or nothing is cached
 */
export function checkNetwork(runtime: Runtime, list: NetworkList, attachment: Attachment): void {
  during(`check "${attachment.ifname}" of "${attachment.containerId}" in network "${list.name}"`, () => {
    if (!reaches(list.cniVersion, "0.4.0")) {
      throw new CniError(codes.incompatibleVersion, `configuration version "${list.cniVersion}" does not support CHECK`);
    }
    if (list.disableCheck) return;
    const key = keyOf(list, attachment);
    const prevResult = runtime.cache.read(key)?.result;
    if (prevResult === undefined) {
      throw new CniError(codes.unknownContainer, "it was never added, or its cached result is gone", {
        details: `no usable result in "${runtime.cache.path(key)}"`,
      });
    }
    for (const plugin of list.plugins)
      callPlugin(runtime, { list, plugin }, { command: "CHECK", attachment, inject: { prevResult } });
  });
}

/**
 * Deletes every cached attachment of the network that is not in `valid`, then runs GC of every plugin (from 1.1.0 on) with
 * that list under both of its names. Without `valid` all attachments are deleted and GC gets no list, as cnitool does.
 * @throws Error that names every failure
 */
export function gcNetwork(runtime: Runtime, list: NetworkList, valid: readonly Omit<CacheKey, "network">[] | undefined): void {
  if (list.disableGC) return;
  const failures = new Failures();
  const isValid = ({ containerId, ifname }: StoredAttachment) =>
    valid?.some((one) => one.containerId === containerId && one.ifname === ifname) ?? false;
  for (const stale of runtime.cache.list()) {
    if (stale.network !== list.name || isValid(stale)) continue;
    failures.attempt(`clear stale attachment "${stale.containerId}"/"${stale.ifname}"`, () =>
      delNetwork(runtime, list, { ...stale, netns: stale.netns ?? "" }),
    );
  }
  if (reaches(list.cniVersion, "1.1.0")) {
    const ids = valid?.map(({ containerId, ifname }) => ({ containerID: containerId, ifname }));
    // the second key is a misprint of an earlier text of the specification that plugins came to read
    const inject = ids === undefined ? {} : { "cni.dev/valid-attachments": ids, "cni.dev/attachments": ids };
    for (const plugin of list.plugins) {
      failures.attempt(`collect garbage of network "${list.name}"`, () =>
        callPlugin(runtime, { list, plugin }, { command: "GC", inject }),
      );
    }
  }
  failures.throwAny();
}

/** Runs STATUS of every plugin until one says that it cannot serve; lists older than 1.1.0 have no STATUS. */
export function statusNetwork(runtime: Runtime, list: NetworkList): void {
  if (!reaches(list.cniVersion, "1.1.0")) return;
  during(`serve network "${list.name}"`, () => {
    for (const plugin of list.plugins) callPlugin(runtime, { list, plugin }, { command: "STATUS", inject: {} });
  });
}

function addPlugins(runtime: Runtime, list: NetworkList, attachment: Attachment): JsonObject {
  let result: JsonObject | undefined;
  for (const plugin of list.plugins) {
    const inject = result === undefined ? {} : { prevResult: result };
    const stdout = callPlugin(runtime, { list, plugin }, { command: "ADD", attachment, inject });
    result = readResult(list, plugin, stdout);
  }
  if (result === undefined) throw new CniError(codes.invalidConfig, "it has no plugins");
  return result;
}

/** The result in the list's version, as libcni hands it on: without a version it is taken to be that already. */
function readResult(list: NetworkList, plugin: PluginConfig, stdout: string): JsonObject {
  try {
    const result = parseObject(Buffer.from(stdout), "result");
    const version = result.cniVersion ?? "";
    if (version === "") return { ...result, cniVersion: list.cniVersion };
    if (version === list.cniVersion || typeof version !== "string") return result;
    return formatResult(parseResult(result, version), list.cniVersion);
  } catch (error) {
    throw new CniError(codes.decodingFailure, `plugin type="${plugin.type}" printed no result: ${reason(error)}`, {
      cause: error,
    });
  }
}

function undoneBy(runtime: Runtime, list: NetworkList, attachment: Attachment): string {
  try {
    delNetwork(runtime, list, attachment);
    return "what had been done was undone";
  } catch (error) {
    return `undoing it failed too: ${reason(error)}`;
  }
}

function withNote(error: unknown, note: string): CniError {
  const { code, message, details } = toCniError(error);
  return new CniError(code, message, { details: details === undefined ? note : `${details}; ${note}`, cause: error });
}

function keyOf({ name }: NetworkList, { containerId, ifname }: Attachment): CacheKey {
  return { network: name, containerId, ifname };
}
