import { CniError, codes } from "../cni/error.ts";
import { type JsonObject, parseObject } from "../cni/json.ts";
import { reason } from "../support/errors.ts";
import { saidBy } from "../support/said-by.ts";
import type { Steps } from "../support/steps.ts";
import type { ArgumentPairs, ResultCache } from "./cache.ts";
import type { Invoke, Outcome } from "./invoke.ts";
import type { NetworkList, PluginConfig } from "./network-list.ts";

/** What a runtime says about one interface of one container. */
export interface Attachment {
  readonly containerId: string;
  /** Path of the namespace; "" when it is not known any more (DEL). */
  readonly netns: string;
  readonly ifname: string;
  readonly cniArgs: ArgumentPairs;
  /** By capability; a plugin gets those that its configuration declares. */
  readonly capabilityArgs: JsonObject;
}

/** Everything the verbs need that is not the network. */
export interface Runtime {
  readonly invoke: Invoke;
  readonly cache: ResultCache;
  /** What plugins inherit; CNI_PATH is in it, the other CNI_* variables are replaced. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly steps: Steps;
  /** One line for a person, on stderr. */
  warn(message: string): void;
}

export interface PluginCall {
  readonly command: "ADD" | "DEL" | "CHECK" | "GC" | "STATUS";
  readonly attachment?: Attachment;
  /** Keys put into the plugin's configuration beside `name` and `cniVersion`. */
  readonly inject: JsonObject;
}

/**
 * Runs one plugin of a list as libcni does and answers what it printed on stdout.
 * @throws CniError with the plugin's own code, its message behind `plugin type="bridge" failed (add)`
 */
export function callPlugin(runtime: Runtime, target: { list: NetworkList; plugin: PluginConfig }, call: PluginCall): string {
  const { list, plugin } = target;
  try {
    const outcome = runtime.invoke(plugin.type, {
      env: pluginEnv(runtime.env, call),
      stdin: new TextEncoder().encode(JSON.stringify(pluginConfig(list, plugin, call))),
      steps: runtime.steps,
    });
    if (outcome.exitCode !== 0) throw pluginError(outcome);
    for (const line of outcome.stderr.split("\n")) if (line !== "") runtime.warn(saidBy(plugin.type, line));
    return outcome.stdout;
  } catch (error) {
    throw new Error(`plugin ${describe(plugin)} failed (${call.command.toLowerCase()}): ${reason(error)}`, { cause: error });
  }
}

/** `runtimeConfig` holds what the plugin declares in `capabilities` and the runtime has a value for. */
function pluginConfig(list: NetworkList, { json }: PluginConfig, { attachment, inject }: PluginCall): JsonObject {
  const declared = Object.entries((json.capabilities ?? {}) as JsonObject).filter(([, wanted]) => wanted === true);
  const given = attachment?.capabilityArgs ?? {};
  const runtimeConfig = Object.fromEntries(declared.filter(([name]) => name in given).map(([name]) => [name, given[name]]));
  return {
    ...json,
    name: list.name,
    cniVersion: list.cniVersion,
    ...(Object.keys(runtimeConfig).length === 0 ? {} : { runtimeConfig }),
    ...inject,
  };
}

/** GC and STATUS are about no container: libcni leaves those variables empty. */
function pluginEnv(env: Runtime["env"], { command, attachment }: PluginCall): Runtime["env"] {
  return {
    ...env,
    CNI_COMMAND: command,
    CNI_CONTAINERID: attachment?.containerId ?? "",
    CNI_NETNS: attachment?.netns ?? "",
    CNI_IFNAME: attachment?.ifname ?? "",
    CNI_ARGS: (attachment?.cniArgs ?? []).map(([key, value]) => `${key}=${value}`).join(";"),
  };
}

/** A failed plugin's error: its error object if it printed one, else whatever it said. */
function pluginError({ exitCode, stdout, stderr }: Outcome): CniError {
  if (stdout.trim() === "") {
    const said = stderr.trim() === "" ? `failed with no error message (exit code ${exitCode})` : `failed: ${stderr.trim()}`;
    return new CniError(codes.internal, said);
  }
  try {
    const { code, msg, details } = parseObject(Buffer.from(stdout), "error");
    const text = typeof msg === "string" && msg !== "" ? msg : `failed with no error message (exit code ${exitCode})`;
    const known = typeof details === "string" && details !== "" ? { details } : {};
    return new CniError(typeof code === "number" ? code : codes.internal, text, known);
  } catch (error) {
    const details = `stdout is "${stdout.slice(0, 200)}"`;
    return new CniError(codes.internal, `failed without a JSON error (exit code ${exitCode})`, { details, cause: error });
  }
}

/** In libcni's words, which people search for. */
function describe({ type, json }: PluginConfig): string {
  const name = json.name;
  return typeof name === "string" && name !== "" ? `type="${type}" name="${name}"` : `type="${type}"`;
}
