import { reason } from "../support/errors.ts";
import { Rollback } from "../support/rollback.ts";
import { parseResult, printResult } from "./convert.ts";
import { CniError, codes, excerpt } from "./error.ts";
import type { Invocation } from "./invocation.ts";
import type { JsonObject } from "./json.ts";
import { readConfiguration } from "./network.ts";
import type { Attachment, Call, Plugin } from "./plugin.ts";
import type { Result } from "./result.ts";
import type { Version } from "./version.ts";

/** Unknown keys noted one by one: a configuration may have any size, and runtimes keep what they are told. */
const MAX_NOTES = 20;

/** A call whose environment, name and version have been found right. */
export interface Task {
  readonly plugin: Plugin;
  /** The network configuration as it came. */
  readonly raw: JsonObject;
  /** The bytes it was parsed from. */
  readonly stdin: Uint8Array;
  readonly call: Omit<Call<unknown>, "config">;
}

/**
 * Runs the verb. ADD's work is undone unless everything succeeds, the result's conversion included.
 * @returns what goes to stdout: the result of ADD, nothing else
 */
export function perform(invocation: Invocation, { plugin, raw, stdin, call }: Task): string {
  const { network, cniVersion } = call;
  const configuration = readConfiguration(plugin, raw);
  noteIgnored(configuration.ignored, call);
  if (invocation.command === "GC" && configuration.valid === undefined) {
    call.warn('GC without "cni.dev/valid-attachments" does not say what is still in use: this plugin removed nothing');
    return "";
  }
  const args = "args" in invocation ? invocation.args : new Map<string, string>();
  const { command } = invocation;
  const source = () => new TextDecoder().decode(stdin);
  const config = plugin.resolve(configuration.keys, { command, cniVersion, args, text: source });
  if (invocation.command === "GC") {
    plugin.gc({ ...call, config, valid: configuration.valid ?? [] });
    return "";
  }
  if (invocation.command === "STATUS") {
    plugin.status({ ...call, config });
    return "";
  }
  const attachment: Attachment = { network, containerId: invocation.containerId, ifname: invocation.ifname };
  if (invocation.command === "DEL") {
    const prevResult = lenientPrevResult(configuration.prevResult, call);
    plugin.del({ ...call, config, attachment, netns: invocation.netns, prevResult });
    return "";
  }
  const { netns } = invocation;
  const prevResult = parsePrevResult(configuration.prevResult, cniVersion);
  if (invocation.command === "CHECK") {
    if (prevResult === undefined) {
      const details = '"prevResult" must hold the result of the ADD';
      throw new CniError(codes.invalidConfig, "Required prevResult missing", { details });
    }
    plugin.check({ ...call, config, attachment, netns, prevResult });
    return "";
  }
  using rollback = new Rollback((message) => call.warn(message));
  const result = plugin.add({ ...call, config, attachment, netns, prevResult }, rollback);
  const text = printResult(result, cniVersion); // a result that cannot be said in this version undoes the work
  rollback.commit();
  return text;
}

function noteIgnored(keys: readonly string[], { warn }: Task["call"]): void {
  for (const key of keys.slice(0, MAX_NOTES)) warn(`ignoring unknown key ${excerpt(key)}`);
  if (keys.length > MAX_NOTES) warn(`ignoring ${keys.length - MAX_NOTES} more unknown keys`);
}

function parsePrevResult(raw: JsonObject | undefined, cniVersion: Version): Result | undefined {
  if (raw === undefined) return undefined;
  try {
    return parseResult(raw, cniVersion);
  } catch (error) {
    throw new CniError(codes.invalidConfig, `Cannot use prevResult: ${reason(error)}`, { cause: error });
  }
}

/** DEL needs no previous result, so a broken one does not stop it. */
function lenientPrevResult(raw: JsonObject | undefined, { cniVersion, warn }: Task["call"]): Result | undefined {
  try {
    return parsePrevResult(raw, cniVersion);
  } catch (error) {
    warn(reason(error));
    return undefined;
  }
}
