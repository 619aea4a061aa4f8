import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { CniError, codes } from "../cni/error.ts";
import { type JsonObject, parseObject } from "../cni/json.ts";
import { type ArgumentPairs, defaultCacheDirectory, ResultCache } from "../runtime/cache.ts";
import { loadNetwork } from "../runtime/conflist.ts";
import type { NetworkList } from "../runtime/network-list.ts";
import type { Attachment, Runtime } from "../runtime/plugin-call.ts";
import { printable } from "../support/printable.ts";
import { saidBy } from "../support/said-by.ts";
import { Steps } from "../support/steps.ts";
import { isNetns } from "../sys/netns.ts";
import type { Option } from "./command.ts";
import type { Shell } from "./shell.ts";

// cnitool's words and environment, so that what one of the two tools added the other deletes.

export const defaultConfDirectory = "/etc/cni/net.d";
export const defaultBinDirectory = "/opt/cni/bin";

export const ifnameOption: Option = { short: "i", value: "NAME", text: "interface in the container (CNI_IFNAME, else eth0)" };

/** @param steps record of all that the plugins and podlink itself change */
export function openRuntime(shell: Shell, steps = new Steps()): Runtime {
  const own = dirname(shell.executable);
  const standard = own === defaultBinDirectory ? own : `${own}:${defaultBinDirectory}`;
  return {
    invoke: shell.invoke,
    cache: openCache(shell),
    env: { ...shell.env, CNI_PATH: setting(shell, "CNI_PATH") ?? standard },
    steps,
    warn: (message) => shell.err(`${saidBy("podlink", printable(message))}\n`),
  };
}

export function openCache(shell: Shell): ResultCache {
  return new ResultCache(setting(shell, "PODLINK_CACHE_DIR") ?? defaultCacheDirectory);
}

export function confDirectory(shell: Shell): string {
  return setting(shell, "NETCONFPATH") ?? defaultConfDirectory;
}

/** @throws CniError when no usable file has a network of this name; unusable ones are told on stderr */
export function findNetwork(shell: Shell, name: string): NetworkList {
  const skip = (file: string, why: string) => shell.err(`podlink: Skipping "${printable(file)}": ${printable(why)}\n`);
  return loadNetwork(confDirectory(shell), { name, skip }).list;
}

/**
 * The attachment cnitool would mean: its container ID is made from the absolute path of the namespace.
 * @throws CniError when CNI_ARGS or CAP_ARGS cannot be read
 */
export function attachmentFor(shell: Shell, options: { netns: string; ifname: string | undefined }): Attachment {
  const netns = netnsPath(shell, options.netns);
  return {
    containerId: containerIdOf(netns),
    netns,
    ifname: options.ifname ?? setting(shell, "CNI_IFNAME") ?? "eth0",
    cniArgs: cniArgs(setting(shell, "CNI_ARGS") ?? ""),
    capabilityArgs: capabilityArgs(setting(shell, "CAP_ARGS") ?? ""),
  };
}

/** The attachment with the arguments it was added with, where the environment gives none now. */
export function asAdded(runtime: Runtime, { list, attachment }: { list: NetworkList; attachment: Attachment }): Attachment {
  const cached = runtime.cache.read({ ...attachment, network: list.name });
  if (cached === undefined) return attachment;
  const { cniArgs: args, capabilityArgs: capabilities } = attachment;
  return {
    ...attachment,
    cniArgs: args.length > 0 ? args : cached.cniArgs,
    capabilityArgs: Object.keys(capabilities).length > 0 ? capabilities : cached.capabilityArgs,
  };
}

/** @throws CniError 8 when nothing is there to attach to */
export function requireNetns(path: string): void {
  if (isNetns(path)) return;
  throw new CniError(codes.invalidNetns, `Cannot use "${path}": it is not a network namespace`, {
    details: existsSync(path)
      ? "the file is what a deleted namespace left behind, or something else"
      : 'there is no such file; "ip netns add NAME" makes one',
  });
}

export function containerIdOf(netns: string): string {
  return `cnitool-${createHash("sha512").update(netns).digest("hex").slice(0, 20)}`;
}

/** A name without a slash is one below /run/netns, unless only the working directory has it. */
function netnsPath(shell: Shell, netns: string): string {
  const named = `/run/netns/${netns}`;
  const here = resolve(shell.cwd, netns);
  return netns.includes("/") || (!existsSync(named) && existsSync(here)) ? here : named;
}

function cniArgs(text: string): ArgumentPairs {
  if (text === "") return [];
  return text.split(";").map((pair) => {
    const [key = "", value = "", ...more] = pair.split("=");
    if (key === "" || value === "" || more.length > 0) {
      throw new CniError(codes.invalidEnvironment, `Cannot use CNI_ARGS: "${pair}" is not of the form K=V`, {
        details: "pairs are divided by semicolons",
      });
    }
    return [key, value];
  });
}

function capabilityArgs(text: string): JsonObject {
  if (text === "") return {};
  try {
    return parseObject(Buffer.from(text), "CAP_ARGS");
  } catch (error) {
    const cause = { cause: error };
    throw new CniError(codes.invalidEnvironment, error instanceof Error ? error.message : String(error), cause);
  }
}

/** Empty counts as not set, as for cnitool. */
function setting(shell: Shell, name: string): string | undefined {
  const value = shell.env[name];
  return value === "" ? undefined : value;
}
