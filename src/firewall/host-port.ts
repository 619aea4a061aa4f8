import type { Address, Family } from "../ip/address.ts";

/** Protocols that have ports to map. */
export const hostPortProtocols = ["tcp", "udp", "sctp"] as const;

export type HostPortProtocol = (typeof hostPortProtocols)[number];

/** A port of the node that leads to a port of a container. */
export interface HostPort {
  readonly protocol: HostPortProtocol;
  /** 1..65535, as is `containerPort`. */
  readonly hostPort: number;
  readonly containerPort: number;
  /** The one address of the node it is for; undefined: every one. */
  readonly hostAddress: Address | undefined;
  /** Of the container's addresses, which it leads to; that of `hostAddress` where there is one. */
  readonly families: readonly Family[];
}

/** `8080/tcp`, `192.0.2.1:8080/tcp`, `[2001:db8::1]:8080/tcp`. */
export function formatHostPort({ protocol, hostPort, hostAddress }: Omit<HostPort, "containerPort" | "families">): string {
  if (hostAddress === undefined) return `${hostPort}/${protocol}`;
  return `${hostAddress.family === 6 ? `[${hostAddress}]` : hostAddress}:${hostPort}/${protocol}`;
}

/** What a mapping takes hold of, for comparing: one text for each family. */
export function placesOf({ protocol, hostPort, hostAddress, families }: HostPort): string[] {
  return families.map((family) => `${family} ${hostAddress ?? "every address"} ${protocol} ${hostPort}`);
}

/** 127.0.0.0/8 or ::1. */
export function isLoopback({ family, value }: Address): boolean {
  return family === 4 ? value >> 24n === 127n : value === 1n;
}

/** Whether a process of the node reaches the mapping at 127.0.0.1. */
export function isAtLoopback({ hostAddress, families }: HostPort): boolean {
  return families.includes(4) && (hostAddress === undefined || isLoopback(hostAddress));
}
