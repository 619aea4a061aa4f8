import type { Address, Family } from "../ip/address.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import { isOwnAddress } from "../link/route-lookup.ts";
import { readSysctl } from "../link/sysctl.ts";
import {
  type ConnectionEntry,
  type ConnectionFilter,
  deleteConnection,
  listConnections,
} from "../netlink/netfilter/conntrack.ts";
import type { HostPortProtocol } from "./host-port.ts";
import type { MappedPort } from "./host-port-sets.ts";

// The kernel translates a connection as it decided when it saw the first packet, and a UDP "connection" lives as long as packets come:
// a client that goes on sending never notices that a container has come or gone (RFC 768 knows no end). So they are made to be decided anew.

/** IANA protocol numbers. */
const NUMBERS: Readonly<Record<HostPortProtocol, number>> = { tcp: 6, udp: 17, sctp: 132 };

/** What of a connection is looked at. */
interface Seen {
  readonly protocol: number | undefined;
  readonly to: Address | undefined;
  readonly toPort: number | undefined;
  /** Who really answers. */
  readonly answeredBy: Address | undefined;
  readonly answeredByPort: number | undefined;
}

/**
 * Forgets what clients sent to these ports of the node while they led elsewhere. A TCP client whose first packet went to the node itself has been
 * refused and starts anew, so TCP connections are forgotten only where they lead to another container.
 */
export function forgetEarlier(host: NetworkNamespace, ports: readonly MappedPort[]): void {
  if (!hasConnections(host)) return;
  const isOwn = remembering((address) => isOwnAddress(host, address));
  for (const { family, some } of byFamily(ports)) {
    for (const filter of filtersOf(family, some)) {
      forget(host, filter, (seen) => {
        const port = some.find(
          (one) => NUMBERS[one.protocol] === seen.protocol && one.hostPort === seen.toPort && isMeant(one.hostAddress, seen.to),
        );
        if (port === undefined || seen.to === undefined || port.target.equals(seen.answeredBy ?? port.target)) return undefined;
        if (port.protocol === "tcp" && seen.answeredBy?.equals(seen.to) === true) return undefined;
        if (!isOwn(seen.to)) return undefined; // passing through, to somebody else's port of that number
        return `-p ${port.protocol} --orig-port-dst ${port.hostPort} --orig-dst ${seen.to}`;
      });
    }
  }
}

/** Each reading makes the kernel walk its whole table, whatever it is asked for: 4 ms even where the table is empty. */
const FILTERED_READINGS = 2;

/** What to read: the connections of each port while they are few, else all. */
function filtersOf(family: Family, ports: readonly MappedPort[]): ConnectionFilter[] {
  if (ports.length > FILTERED_READINGS) return [{ family }];
  return ports.map(({ hostPort, protocol }) => ({
    family,
    protocol: NUMBERS[protocol],
    original: { destinationPort: hostPort },
  }));
}

/** Whether the kernel follows any connection; yes where it does not say. */
function hasConnections(host: NetworkNamespace): boolean {
  return readSysctl(host, "net/netfilter/nf_conntrack_count") !== "0";
}

/** Forgets the connections that came through these ports. */
export function forgetThrough(host: NetworkNamespace, ports: readonly MappedPort[]): void {
  if (ports.length === 0 || !hasConnections(host)) return;
  for (const { family, some } of byFamily(ports)) {
    for (const target of new Map(some.map((port) => [String(port.target), port.target])).values()) {
      forget(host, { family, reply: { source: target } }, (seen) => {
        const port = some.find(
          (one) =>
            one.target.equals(target) &&
            NUMBERS[one.protocol] === seen.protocol &&
            one.hostPort === seen.toPort &&
            one.containerPort === seen.answeredByPort,
        );
        if (port === undefined || seen.to?.equals(target) === true) return undefined;
        return `-p ${port.protocol} --orig-port-dst ${port.hostPort} --reply-src ${target}`;
      });
    }
  }
}

function remembering(ask: (address: Address) => boolean): (address: Address) => boolean {
  const answers = new Map<string, boolean>();
  return (address) => {
    const answer = answers.get(String(address)) ?? ask(address);
    answers.set(String(address), answer);
    return answer;
  };
}

function byFamily(ports: readonly MappedPort[]): { family: Family; some: MappedPort[] }[] {
  return ([4, 6] as const).map((family) => ({ family, some: ports.filter(({ target }) => target.family === family) }));
}

function isMeant(hostAddress: Address | undefined, to: Address | undefined): boolean {
  return hostAddress === undefined || (to !== undefined && hostAddress.equals(to));
}

/** Deletes connections; `choose` answers how conntrack(8) is told of one that is meant. */
function forget(host: NetworkNamespace, filter: ConnectionFilter, choose: (seen: Seen) => string | undefined): void {
  const netfilter = host.nftables.connection;
  const chosen = new Map<string, ConnectionEntry[]>();
  for (const entry of listConnections(netfilter, filter)) {
    const words = choose(look(entry));
    if (words !== undefined) chosen.set(words, [...(chosen.get(words) ?? []), entry]);
  }
  for (const [words, entries] of chosen) {
    host.change(`conntrack -D -f ipv${filter.family} ${words} || true`, () => {
      for (const entry of entries) deleteConnection(netfilter, entry);
    });
  }
}

function look(entry: ConnectionEntry): Seen {
  const { original, reply } = entry;
  return {
    protocol: original?.protocol?.number,
    to: original?.ip?.destination4 ?? original?.ip?.destination6,
    toPort: original?.protocol?.destinationPort,
    answeredBy: reply?.ip?.source4 ?? reply?.ip?.source6,
    answeredByPort: reply?.protocol?.sourcePort,
  };
}
