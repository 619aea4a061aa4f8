import type { GenericSchema } from "valibot";
import type { Rollback } from "../support/rollback.ts";
import type { Steps } from "../support/steps.ts";
import type { Args } from "./args.ts";
import type { Result } from "./result.ts";
import type { Version } from "./version.ts";

/** What identifies one interface of one container in one network; everything podlink owns is named by it. */
export interface Attachment {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}

/** An attachment the runtime still counts as alive (GC); its network is the call's. */
export type ValidAttachment = Omit<Attachment, "network">;

/** Another plugin, usually IPAM, run with this call's environment and configuration. */
export interface Delegate {
  /** Runs ADD and defers its DEL on `rollback`; a failed ADD is followed by DEL before the error goes on (SPEC section 4). */
  add(rollback: Rollback): Result;
  check(): void;
  del(): void;
  gc(): void;
  status(): void;
}

/** What every verb is given. */
export interface Call<C> {
  /** `name` of the network configuration. */
  readonly network: string;
  readonly cniVersion: Version;
  readonly config: C;
  /** Records each change made to the node. */
  readonly steps: Steps;
  /** One line on stderr, and in the log. */
  warn(message: string): void;
  /** @param type of the plugin to run; libcni's rules find it on CNI_PATH */
  delegate(type: string): Delegate;
}

export interface AddCall<C> extends Call<C> {
  readonly attachment: Attachment;
  /** Path of the container's network namespace; never the host's own. */
  readonly netns: string;
  /** Result of the plugin before this one in a chain. */
  readonly prevResult: Result | undefined;
}

export interface CheckCall<C> extends AddCall<C> {
  /** The core refuses a CHECK without it. */
  readonly prevResult: Result;
}

export interface DelCall<C> extends Call<C> {
  readonly attachment: Attachment;
  /** Absent, or a path that may be gone or name another namespace by now: DEL works without. */
  readonly netns: string | undefined;
  readonly prevResult: Result | undefined;
}

export interface GcCall<C> extends Call<C> {
  /** Attachments to keep; everything else of this network goes. The core never calls GC when the key is absent. */
  readonly valid: readonly ValidAttachment[];
}

export type StatusCall<C> = Call<C>;

/** What `resolve` may look at beside the plugin's own keys. */
export interface ConfigContext {
  readonly command: string;
  readonly cniVersion: Version;
  readonly args: Args;
  /** The configuration as it came, for what is lost when it is parsed: keys written twice. */
  readonly text?: () => string;
}

/**
 * One plugin type. `S` is the shape of its configuration keys, `C` what its verbs work with.
 * Verbs are synchronous, throw on failure, and change nothing that they do not also record in `steps`.
 */
export interface Plugin<S = unknown, C = S> {
  /** The name it is called by: `type` in a configuration, the file name in the bin directory. */
  readonly type: string;
  /**
   * The keys this type reads, common ones of config.ts among them; exported to `conf/schema/<type>.json`.
   * A function, because only the types that a call needs shall make theirs.
   */
  schema(): GenericSchema<unknown, S>;
  /**
   * An IPAM plugin is given the whole configuration of the plugin that called it: the schema has `ipam` (and what it reads of
   * `runtimeConfig` and `args`), every other top-level key is somebody else's, and unknown keys are noted inside `ipam` only.
   */
  readonly ipam?: true;
  /**
   * IPAM types of this program are run in this process, whatever has their names on CNI_PATH; all others are looked for there. Only for a
   * type that nobody else has: one that stands in for another's plugin finds what that one would.
   */
  readonly ownIpam?: true;
  /** First arguments that make a call of this type, without CNI_COMMAND, a command of the tool: `dhcp daemon` is `podlink dhcp daemon`. */
  readonly commands?: readonly string[];
  /** Unknown keys are refused (code 2) instead of ignored with a note; never those inside `ipam`. */
  readonly strict?: true;
  /** Turns checked keys into what the verbs need; throws CniError on values that make no sense together. */
  resolve(keys: S, context: ConfigContext): C;
  add(call: AddCall<C>, rollback: Rollback): Result;
  check(call: CheckCall<C>): void;
  del(call: DelCall<C>): void;
  gc(call: GcCall<C>): void;
  status(call: StatusCall<C>): void;
}

/** Ties a plugin's shape and verbs together, so that their types are inferred from its schema. */
export function definePlugin<S, C>(plugin: Plugin<S, C>): Plugin {
  return plugin as unknown as Plugin;
}
