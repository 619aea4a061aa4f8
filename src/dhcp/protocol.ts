import type { Options } from "./message.ts";

// How the plugin type and the daemon speak over the unix socket: one JSON object a line. A request is answered by `{"within": ms}` at
// once, which says how long the answer may take, and by the answer.

/** Where the daemon listens unless told otherwise; the reference's. */
export const defaultSocketPath = "/run/cni/dhcp.sock";

/** A request with more bytes than this is nobody's. */
export const LONGEST_REQUEST = 65_536;

/** How long a daemon that is there takes to say that it has heard; one that systemd only now starts included. */
export const HEARD_TIMEOUT_MS = 10_000;

/** What identifies a lease. */
export interface LeaseOwner {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}

/** Asks for the lease of an attachment: the one it has, or a new one. */
export interface AllocateRequest {
  readonly call: "allocate";
  readonly attachment: LeaseOwner;
  /** Absolute path of the container's network namespace, as the node sees it. */
  readonly netns: string;
  /** Metric of the lease's routes. */
  readonly priority?: number | undefined;
  /** Option numbers (option 55). */
  readonly request: readonly number[];
  /** Options for every DISCOVER and REQUEST, the value in hex. */
  readonly provide: readonly (readonly [code: number, hex: string])[];
}

/** What is asked of the daemon. */
export type DaemonRequest =
  | AllocateRequest
  /** The lease an attachment has; one that has none is an error. */
  | { readonly call: "check"; readonly attachment: LeaseOwner }
  /** Gives the lease back; one that is not there is fine. */
  | { readonly call: "release"; readonly attachment: LeaseOwner }
  /** Gives back every lease of a network but those of the attachments named. */
  | { readonly call: "collect"; readonly network: string; readonly valid: readonly Omit<LeaseOwner, "network">[] }
  | { readonly call: "status" };

/** The first line of every answer. */
export interface Heard {
  /** Milliseconds in which the second one comes. */
  readonly within: number;
}

/** The second line: what was asked for, or why not. */
export type DaemonAnswer =
  | { readonly ok: true; readonly result: unknown }
  /** @param code of the CNI specification */
  | { readonly ok: false; readonly code: number; readonly msg: string; readonly details?: string };

/** Options as they stand in a request. */
export function optionsToJson(options: Options): [code: number, hex: string][] {
  return [...options].map(([code, value]) => [code, Buffer.from(value).toString("hex")]);
}

/** The reverse of optionsToJson. */
export function optionsFromJson(json: readonly (readonly [code: number, hex: string])[]): Options {
  return new Map(json.map(([code, hex]) => [code, Uint8Array.from(Buffer.from(hex, "hex"))]));
}
