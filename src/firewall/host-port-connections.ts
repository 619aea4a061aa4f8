import type { Address, Family } from "../ip/address.ts";
import { hasConnectionsTo } from "../link/connection-text.ts";
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
import type { UnmappedPort } from "./host-port-unmapped.ts";

// The kernel translates a connection as it decided when it saw the first packet, and a UDP "connection" lives as long as packets come:
// a client that goes on sending never notices that a container has come or gone (RFC 768 knows no end). So they are made to be decided anew.

/** IANA protocol numbers. */
const NUMBERS: Readonly<Record<HostPortProtocol, number>> = { tcp: 6, udp: 17, sctp: 132 };

/** What of a connection is looked at. */
interface Seen {
  readonly family: Family;
  readonly protocol: number | undefined;
  readonly to: Address | undefined;
  readonly toPort: number | undefined;
  /** Who really answers. */
  readonly answeredBy: Address | undefined;
  readonly answeredByPort: number | undefined;
}

/**
 * Forgets what clients sent to these ports of the node while they led elsewhere. A TCP client whose first packet went to the node itself has been
 * refused and starts anew; so TCP connections are looked for only where ports led to another container until now.
 */
export function forgetEarlier(host: NetworkNamespace, ports: readonly MappedPort[], options: { takenOver: boolean }): void {
  const asked = options.takenOver ? ports : ports.filter(({ protocol }) => protocol !== "tcp");
  const filters = asked.map(({ hostPort, protocol, target }) => ({
    family: target.family,
    protocol: NUMBERS[protocol],
    original: { destinationPort: hostPort },
  }));
  const isOwn = remembering((address) => isOwnAddress(host, address));
  forget(host, { filters, ports: asked }, (seen) => {
    const port = asked.find((one) => isThrough(one, seen) && isMeant(one.hostAddress, seen.to));
    if (port === undefined || seen.to === undefined || port.target.equals(seen.answeredBy ?? port.target)) return undefined;
    if (port.protocol === "tcp" && seen.answeredBy?.equals(seen.to) === true) return undefined;
    if (!isOwn(seen.to)) return undefined; // passing through, to somebody else's port of that number
    return `-p ${port.protocol} --orig-port-dst ${port.hostPort} --orig-dst ${seen.to}`;
  });
}

/** Forgets the connections that came through these ports. */
export function forgetThrough(host: NetworkNamespace, ports: readonly UnmappedPort[]): void {
  const targets = [...new Map(ports.map(({ target }) => [String(target), target])).values()];
  const filters = targets.map((target) => ({ family: target.family, reply: { source: target } }));
  forget(host, { filters, ports }, (seen) => {
    const port = ports.find(({ containerPort = seen.answeredByPort, ...one }) => {
      return isThrough(one, seen) && seen.answeredBy?.equals(one.target) === true && containerPort === seen.answeredByPort;
    });
    if (port === undefined || seen.to?.equals(port.target) === true) return undefined;
    return `-p ${port.protocol} --orig-port-dst ${port.hostPort} --reply-src ${port.target}`;
  });
}

function isThrough({ hostPort, protocol, target }: Omit<UnmappedPort, "containerPort">, seen: Seen): boolean {
  return target.family === seen.family && NUMBERS[protocol] === seen.protocol && hostPort === seen.toPort;
}

function remembering(ask: (address: Address) => boolean): (address: Address) => boolean {
  const answers = new Map<string, boolean>();
  return (address) => {
    const answer = answers.get(String(address)) ?? ask(address);
    answers.set(String(address), answer);
    return answer;
  };
}

function isMeant(hostAddress: Address | undefined, to: Address | undefined): boolean {
  return hostAddress === undefined || (to !== undefined && hostAddress.equals(to));
}

/** Deletes connections; `choose` answers how conntrack(8) is told of one that is meant. */
function forget(
  host: NetworkNamespace,
  { filters, ports }: { filters: readonly ConnectionFilter[]; ports: readonly Pick<MappedPort, "hostPort">[] },
  choose: (seen: Seen) => string | undefined,
): void {
  const chosen = new Map<string, ConnectionEntry[]>();
  for (const entry of read(host, filters, ports)) {
    const seen = look(entry);
    const words = choose(seen);
    if (words === undefined) continue;
    const command = `conntrack -D -f ipv${seen.family} ${words} || true`;
    chosen.set(command, [...(chosen.get(command) ?? []), entry]);
  }
  for (const [command, entries] of chosen) {
    host.change(command, () => {
      for (const entry of entries) deleteConnection(host.nftables.connection, entry);
    });
  }
}

/** The kernel walks its whole table for each reading, 4 ms even where it is almost empty; so what is not much is read at once. */
const FEW_CONNECTIONS = 2000;
const FEW_FILTERS = 2;

/** Connections that agree with one of the filters, and maybe others. */
function read(
  host: NetworkNamespace,
  filters: readonly ConnectionFilter[],
  ports: readonly Pick<MappedPort, "hostPort">[],
): ConnectionEntry[] {
  if (filters.length === 0) return [];
  const count = readSysctl(host, "net/netfilter/nf_conntrack_count");
  if (count === "0") return [];
  const isMuch = count === undefined || Number(count) > FEW_CONNECTIONS;
  const numbers = ports.map(({ hostPort }) => hostPort);
  if (!isMuch && hasConnectionsTo(host, numbers) === false) return [];
  const netfilter = host.nftables.connection;
  if (filters.length > (isMuch ? FEW_FILTERS : 1)) return listConnections(netfilter, {});
  return filters.flatMap((filter) => listConnections(netfilter, filter));
}

function look(entry: ConnectionEntry): Seen {
  const { original, reply } = entry;
  return {
    family: original?.ip?.destination4 === undefined ? 6 : 4,
    protocol: original?.protocol?.number,
    to: original?.ip?.destination4 ?? original?.ip?.destination6,
    toPort: original?.protocol?.destinationPort,
    answeredBy: reply?.ip?.source4 ?? reply?.ip?.source6,
    answeredByPort: reply?.protocol?.sourcePort,
  };
}
