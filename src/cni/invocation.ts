import { hasControl } from "../support/printable.ts";
import { type Args, parseArgs } from "./args.ts";
import { CniError, codes } from "./error.ts";

/** SPEC section 2, "Operations". */
export const commands = ["ADD", "CHECK", "DEL", "GC", "STATUS", "VERSION"] as const;

export type Command = (typeof commands)[number];

export type Environment = Readonly<Record<string, string | undefined>>;

/** What the CNI_* variables say. Those that a verb does not use are not looked at. */
export type Invocation = ContainerInvocation | DelInvocation | NetworkInvocation;

export interface ContainerInvocation {
  readonly command: "ADD" | "CHECK";
  readonly containerId: string;
  readonly ifname: string;
  readonly netns: string;
  readonly args: Args;
}

export interface DelInvocation extends Omit<ContainerInvocation, "command" | "netns"> {
  readonly command: "DEL";
  readonly netns: string | undefined;
}

export type NetworkInvocation = { readonly command: "GC" } | { readonly command: "STATUS" };

interface Variable {
  readonly name: string;
  readonly required: readonly Command[];
  /** Throws CniError 4 on a value that cannot be; asked where the variable is required. */
  validate?(value: string): void;
}

// The reference wants CNI_PATH for every verb; the specification for GC alone, and elsewhere it only matters when delegating.
const variables: readonly Variable[] = [
  { name: "CNI_CONTAINERID", required: ["ADD", "CHECK", "DEL"], validate: validateContainerId },
  { name: "CNI_NETNS", required: ["ADD", "CHECK"] },
  { name: "CNI_IFNAME", required: ["ADD", "CHECK", "DEL"], validate: validateIfname },
  { name: "CNI_PATH", required: ["GC"] },
];

/** Identifiers as SPEC section 2 has them, for container ids and network names; they become parts of paths. */
export function isIdentifier(text: string): boolean {
  return /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(text);
}

function validateContainerId(id: string): void {
  if (!isIdentifier(id)) throw invalid("invalid characters in containerID", id);
}

function validateIfname(name: string): void {
  if (Buffer.byteLength(name) > 15) throw invalid("interface name is too long", `CNI_IFNAME is "${name}", 15 bytes are allowed`);
  if (name === "." || name === "..") throw invalid("interface name is . or ..", `CNI_IFNAME is "${name}"`);
  // U+0085 is white space in Unicode and Go, though not in JavaScript
  if (/[/:\s\u0085]/.test(name)) {
    throw invalid("interface name contains / or : or whitespace characters", `CNI_IFNAME is ${JSON.stringify(name)}`);
  }
  // The kernel counts up a name with "%d" and takes no other "%"; with the rest a lease file reads as one that a crash damaged
  if (/[%\ufffd]/.test(name) || hasControl(name)) {
    const details = `CNI_IFNAME is ${JSON.stringify(name)}`;
    throw invalid("interface name contains % or control characters or invalid UTF-8", details);
  }
}

function invalid(msg: string, details: string): CniError {
  return new CniError(codes.invalidEnvironment, msg, { details });
}

/** CNI_COMMAND, undefined when it is absent or empty. @throws CniError 4 for a verb that does not exist */
export function parseCommand(env: Environment): Command | undefined {
  const command = env.CNI_COMMAND;
  if (command === undefined || command === "") return undefined;
  const found = commands.find((known) => known === command);
  if (found === undefined) throw invalid(`unknown CNI_COMMAND: ${command}`, `there are ${commands.join(", ")}`);
  return found;
}

/**
 * Reads the variables that `command` uses. An empty value is an absent one.
 * @throws CniError 4 at once for an invalid value, and for all missing ones together after that
 */
export function parseInvocation(command: Exclude<Command, "VERSION">, env: Environment): Invocation {
  const missing: string[] = [];
  for (const { name, required, validate } of variables) {
    if (!required.includes(command)) continue;
    const value = env[name] ?? "";
    if (value === "") missing.push(name);
    else validate?.(value);
  }
  if (missing.length > 0) {
    throw new CniError(codes.invalidEnvironment, `required env variables [${missing.join(",")}] missing`);
  }
  if (command === "GC" || command === "STATUS") return { command };
  const netns = env.CNI_NETNS ?? "";
  const attachment = {
    containerId: env.CNI_CONTAINERID ?? "",
    ifname: env.CNI_IFNAME ?? "",
    args: parseArgs(env.CNI_ARGS ?? ""),
  };
  return command === "DEL"
    ? { command, ...attachment, netns: netns === "" ? undefined : netns }
    : { command, ...attachment, netns };
}

/** CNI_NETNS_OVERRIDE: the caller says that working in the plugin's own namespace is meant. */
export function overridesNetnsCheck(env: Environment): boolean {
  const value = env.CNI_NETNS_OVERRIDE ?? "";
  return value === "1" || value.toLowerCase() === "true";
}
