import type { Lease } from "../dhcp/lease.ts";
import { type LeaseJson, leaseFromJson, leaseToJson } from "../dhcp/lease-json.ts";
import type { AllocateRequest } from "../dhcp/protocol.ts";
import { normalizeMac } from "../ip/mac.ts";
import type { ContainerFacts } from "./container-side.ts";
import { parseAllocate } from "./request.ts";

const VERSION = 1;

/** What a daemon needs to know to go on with a lease of an earlier run. */
export interface LeaseRecord {
  /** What was asked for. */
  readonly wish: AllocateRequest;
  readonly facts: ContainerFacts;
  /** The lease in the machine's clock (bootClock), which means nothing after another boot. */
  readonly lease: Lease;
  readonly bootId: string;
  /** Of the daemon whose lease it is. */
  readonly socketPath: string;
}

interface RecordJson extends Omit<LeaseRecord, "lease" | "wish"> {
  readonly version: typeof VERSION;
  readonly attachment: AllocateRequest["attachment"];
  readonly wish: AllocateRequest;
  readonly lease: LeaseJson;
}

/** As it lies on disk; `attachment` stands by itself for those who only look for whose it is. */
export function recordToJson(record: LeaseRecord): RecordJson {
  return { version: VERSION, attachment: record.wish.attachment, ...record, lease: leaseToJson(record.lease) };
}

/** Reads what recordToJson made, from a file that may have been damaged or edited. @throws Error that says what is wrong */
export function recordFromJson(json: unknown): LeaseRecord {
  const { version, wish, facts, lease, bootId, socketPath } = asObject(json, "record");
  if (version !== VERSION) throw new RangeError(`its version is ${JSON.stringify(version)}, expected ${VERSION}`);
  return {
    wish: parseAllocate(wish),
    facts: factsFromJson(facts),
    lease: leaseFromJson(lease),
    bootId: asText(bootId, "bootId"),
    socketPath: asText(socketPath, "socketPath"),
  };
}

function factsFromJson(json: unknown): ContainerFacts {
  const { identity, nextHopMac, sideDoor } = asObject(json, "facts");
  const { netnsId, ifindex, mac } = asObject(identity, "identity");
  if (typeof ifindex !== "number") throw new RangeError('"ifindex" is no number');
  return {
    identity: { netnsId: asText(netnsId, "netnsId"), ifindex, mac: normalizeMac(asText(mac, "mac")) },
    nextHopMac: nextHopMac === "" ? "" : normalizeMac(asText(nextHopMac, "nextHopMac")),
    sideDoor: asText(sideDoor, "sideDoor"),
  };
}

function asObject(value: unknown, key: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new RangeError(`"${key}" is no object`);
}

function asText(value: unknown, key: string): string {
  if (typeof value === "string") return value;
  throw new RangeError(`"${key}" is no text`);
}
