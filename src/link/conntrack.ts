import type { Address, Family } from "../ip/address.ts";
import { type ConnectionFilter, deleteConnection, listConnections } from "../netlink/netfilter/conntrack.ts";
import type { NetworkNamespace } from "./namespace.ts";

/** IANA protocol numbers. */
const PROTOCOLS = { tcp: 6, udp: 17, sctp: 132 } as const;

/** Which connections: those that agree in all that is given. */
export interface ConnectionChoice {
  readonly family: Family;
  readonly protocol?: keyof typeof PROTOCOLS | undefined;
  /** Who sent the first packet. */
  readonly originalSource?: Address | undefined;
  /** Where the first packet was sent to, before any translation. */
  readonly originalDestination?: Address | undefined;
  readonly originalDestinationPort?: number | undefined;
  /** Who answers: where the first packet went after translation. */
  readonly replySource?: Address | undefined;
  readonly replySourcePort?: number | undefined;
  /** Whom it is answered to: where the first packet came from after translation. */
  readonly replyDestination?: Address | undefined;
}

/**
 * Makes the kernel forget connections, so that the next packet of each is translated anew.
 * @returns how many there were
 */
export function deleteConnections(namespace: NetworkNamespace, choice: ConnectionChoice): number {
  const netfilter = namespace.nftables.connection;
  const found = listConnections(netfilter, toFilter(choice));
  if (found.length === 0) return 0;
  // which fails where there is none: pasted somewhere else, it must not end a script
  return namespace.change(`conntrack -D ${describe(choice)} || true`, () => {
    let deleted = 0;
    for (const entry of found) if (deleteConnection(netfilter, entry)) deleted++;
    return deleted;
  });
}

function toFilter(choice: ConnectionChoice): ConnectionFilter {
  return {
    family: choice.family,
    protocol: choice.protocol === undefined ? undefined : PROTOCOLS[choice.protocol],
    original: {
      source: choice.originalSource,
      destination: choice.originalDestination,
      destinationPort: choice.originalDestinationPort,
    },
    reply: { source: choice.replySource, sourcePort: choice.replySourcePort, destination: choice.replyDestination },
  };
}

function describe(choice: ConnectionChoice): string {
  const words = [`-f ipv${choice.family}`];
  const options: [string, unknown][] = [
    ["-p", choice.protocol],
    ["--orig-src", choice.originalSource],
    ["--orig-dst", choice.originalDestination],
    ["--orig-port-dst", choice.originalDestinationPort],
    ["--reply-src", choice.replySource],
    ["--reply-port-src", choice.replySourcePort],
    ["--reply-dst", choice.replyDestination],
  ];
  for (const [option, value] of options) if (value !== undefined) words.push(`${option} ${value}`);
  return words.join(" ");
}
