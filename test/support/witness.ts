import { Address } from "../../src/ip/address.ts";
import { formatMac } from "../../src/ip/mac.ts";
import { Prefix } from "../../src/ip/prefix.ts";
import { inside } from "./namespaces.ts";

/** A link as the npm package `netlink` reads it. */
export interface SeenLink {
  readonly name: string | undefined;
  readonly index: number | undefined;
  readonly mac: string;
  readonly mtu: number | undefined;
  readonly up: boolean;
  readonly master: number | undefined;
  readonly alias: string | undefined;
  readonly queues: readonly (number | undefined)[];
}

export interface SeenAddress {
  readonly index: number | undefined;
  readonly prefix: string;
  readonly broadcast: string | undefined;
  /** The flags that are set, by name. */
  readonly flags: readonly string[];
}

export interface SeenRoute {
  readonly index: number | undefined;
  readonly dst: string;
  readonly gateway: string | undefined;
  readonly priority: number | undefined;
  readonly table: number | undefined;
  readonly scope: string | number | undefined;
  readonly mtu: number | undefined;
  readonly advmss: number | undefined;
}

export interface SeenNeighbour {
  readonly index: number | undefined;
  readonly address: string;
  readonly mac: string;
}

/** What the kernel has, told by codecs that are not ours. */
export interface Witness {
  links(): Promise<SeenLink[]>;
  addresses(): Promise<SeenAddress[]>;
  routes(): Promise<SeenRoute[]>;
  neighbours(): Promise<SeenNeighbour[]>;
  close(): void;
}

/**
 * Opens a witness in the namespace this process stands in, or in the one at `path`. Call it after becomeHost(), and close it:
 * its socket keeps the namespace alive.
 */
export async function openWitness(path?: string): Promise<Witness> {
  const { createRtNetlink } = await import("netlink");
  const socket = path === undefined ? createRtNetlink() : inside(path, () => createRtNetlink());
  return {
    async links() {
      return (await socket.getLinks()).map(({ data, attrs }) => ({
        name: attrs.ifname,
        index: data.index,
        mac: formatMac(attrs.address ?? new Uint8Array()),
        mtu: attrs.mtu,
        up: flagNames(data.flags).includes("up"),
        master: attrs.master,
        alias: attrs.ifalias,
        queues: [attrs.numTxQueues, attrs.numRxQueues],
      }));
    },
    async addresses() {
      return (await socket.getAddresses()).map(({ data, attrs }) => ({
        index: data.index,
        prefix: `${addressText(attrs.local ?? attrs.address)}/${data.prefixlen}`,
        broadcast: attrs.broadcast && addressText(attrs.broadcast),
        flags: flagNames(attrs.flags),
      }));
    },
    async routes() {
      return (await socket.getRoutes()).map(({ data, attrs }) => ({
        index: attrs.oif,
        dst: attrs.dst === undefined ? "default" : String(new Prefix(Address.fromBytes(attrs.dst), data.dstLen ?? 0)),
        gateway: attrs.gateway && addressText(attrs.gateway),
        priority: attrs.priority,
        table: attrs.table,
        scope: data.scope,
        mtu: attrs.metrics?.mtu?.readUInt32LE(),
        advmss: attrs.metrics?.advmss?.readUInt32LE(),
      }));
    },
    async neighbours() {
      return (await socket.getNeighbors()).map(({ data, attrs }) => ({
        index: data.ifindex,
        address: addressText(attrs.dst),
        mac: formatMac(attrs.lladdr ?? new Uint8Array()),
      }));
    },
    close: () => socket.socket.close(),
  };
}

function addressText(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? "" : String(Address.fromBytes(bytes));
}

/** Names of the flags that are set; the package has them as an object, or as the number it could not read. */
function flagNames(flags: unknown): string[] {
  if (typeof flags !== "object" || flags === null) return [];
  return Object.entries(flags).flatMap(([name, value]) => (value === true ? [name] : []));
}
