import { readAddressing } from "../attachment/addressing.ts";
import { clearLeftover, deleteHostLink, deleteVeth } from "../attachment/host-links.ts";
import { leaseAddresses } from "../attachment/lease.ts";
import { openSandbox } from "../attachment/sandbox.ts";
import { CniError, codes } from "../cni/error.ts";
import type { AddCall, Attachment, DelCall } from "../cni/plugin.ts";
import type { Interface, Result } from "../cni/result.ts";
import { masqueradeChainOf, noticeOfChains } from "../firewall/iptables-leftovers.ts";
import { changeRuleset, clearRuleset, type RulesetChange } from "../firewall/ruleset-change.ts";
import { Prefix } from "../ip/prefix.ts";
import { listAddresses } from "../link/addresses.ts";
import { announce } from "../link/announce.ts";
import { addPortVlans, deletePortVlans, listPortVlans } from "../link/bridge-vlans.ts";
import { ensureBridge, startPort } from "../link/bridges.ts";
import { configureLink } from "../link/configure.ts";
import { findLink, getLink, type Link, setLink, setUp } from "../link/links.ts";
import { hostLinkName, linkAlias } from "../link/names.ts";
import { NetworkNamespace, type Sandbox } from "../link/namespace.ts";
import { createVeth, randomMac } from "../link/veth.ts";
import { waitUntilOperational } from "../link/wait.ts";
import { during } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import { shellWord } from "../support/shell-word.ts";
import type { BridgeConfig } from "./bridge-config.ts";
import { protecting, unprotecting } from "./bridge-firewall.ts";
import { configuring, setUpGateway, withGateways } from "./bridge-gateway.ts";

/** How long a port may take to come up; without spanning tree it takes none. */
const PORT_TIMEOUT_MS = 3000;

const SMALLEST_IPV6_MTU = 1280;
const LINK_LOCAL = Prefix.parse("fe80::/10");

/** What another type does differently, which otherwise attaches a container as type bridge does. */
export interface Variation {
  /** Turns what IPAM gave into what the container gets; the bridge's own addresses follow from the former. */
  readonly shape: (leased: Result) => Result;
  /** Others on the bridge never look for the container themselves, so nobody is told where its addresses are now. */
  readonly unannounced: boolean;
  /** Comes before the container's interface has an address or is up. */
  readonly prepare: (sandbox: Sandbox, inside: Link, bridge: Link) => void;
  /** Comes when it has both. */
  readonly conclude: (sandbox: Sandbox) => void;
  /** Comes into nf_tables together with what type bridge has there. @param result as ADD answers, still without interfaces */
  readonly protecting: (host: NetworkNamespace, result: Result) => RulesetChange[];
  readonly unprotecting: Unprotecting;
}

/** What goes from nf_tables together with what type bridge has there. @param present names of the tables there are */
export type Unprotecting = (host: NetworkNamespace, present: ReadonlySet<string>) => RulesetChange[];

/** ADD: bridge, veth pair, addresses, gateway, nf_tables. */
export function attachToBridge(call: AddCall<BridgeConfig>, rollback: Rollback, variation?: Variation): Result {
  const { attachment, config, netns, steps } = call;
  using sandbox = openSandbox(netns, steps);
  const { host, container } = sandbox;
  const hadLeftover = during(`attach "${attachment.ifname}" of "${attachment.containerId}"`, () =>
    clearLeftover(sandbox, attachment),
  );
  if (hadLeftover) clearRest(call, variation?.unprotecting);
  const { bridge: name, mtu, vlanFiltering, promiscuous } = config;
  const bridgeLink = configuring(`set up bridge "${name}"`, () => ensureBridge(host, { name, mtu, vlanFiltering, promiscuous }));
  configuring(`attach "${attachment.ifname}" to bridge "${name}"`, () => plugIn(call, { sandbox, bridgeLink, rollback }));
  const inside = getLink(container, attachment.ifname);

  const addressed =
    config.ipamType === undefined
      ? bareResult(call, container, inside)
      : address(call, { sandbox, bridgeLink, inside, rollback, variation });
  protect(call, { sandbox, addressed, inside, rollback, variation });
  const port = waitForPort(host, hostLinkName(attachment), config);
  if (config.ipamType !== undefined && variation?.unannounced !== true) announce(container, inside);
  const alias = linkAlias(attachment, "attached"); // says that the ADD is whole: the last change of all
  setLink(host, port, { command: `alias ${shellWord(alias)}`, message: { alias } });
  const bridgeNow = getLink(host, bridgeLink.index); // unless pinned, its MAC may have followed the new port's
  const interfaces = [describe(bridgeNow), describe(port), { ...describe(inside), sandbox: netns }];
  if (addressed.vlanGateway !== undefined) interfaces.push(describe(addressed.vlanGateway));
  return { interfaces, ...addressed.result };
}

/**
 * DEL: the pair is down, then go nf_tables and the links, and as the last of all the addresses: they are free only when nobody answers to
 * them any more.
 */
export function detachFromBridge(
  call: DelCall<BridgeConfig>,
  also?: { readonly unprotecting: Unprotecting; readonly links: (host: NetworkNamespace) => readonly Link[] },
): void {
  const { attachment, config, netns, steps, warn } = call;
  const chains = config.masquerade ? [masqueradeChainOf(attachment)] : [];
  const rest: Unprotecting = (host, present) => [
    ...(also?.unprotecting(host, present) ?? []),
    noticeOfChains(host, { chains, present, warn }),
  ];
  using host = NetworkNamespace.host(steps);
  deleteVeth(attachment, {
    host,
    netns,
    steps,
    beforehand: () => unprotect(host, { attachment, also: rest }),
    along: () => also?.links(host) ?? [],
  });
  if (config.ipamType !== undefined) call.delegate(config.ipamType).del();
}

/** What an attachment has beside its links. */
function clearRest(call: AddCall<BridgeConfig>, also: Unprotecting | undefined): void {
  const { attachment, config, steps } = call;
  using host = NetworkNamespace.host(steps); // to the end: its closing waits until the kernel has really freed what was deleted
  during(`clear nf_tables of "${attachment.ifname}" of "${attachment.containerId}"`, () => unprotect(host, { attachment, also }));
  if (config.ipamType !== undefined) call.delegate(config.ipamType).del();
}

/** Everything that the attachment has in nf_tables, in one transaction. */
function protect(
  call: AddCall<BridgeConfig>,
  parts: { sandbox: Sandbox; addressed: Addressed; inside: Link; rollback: Rollback; variation: Variation | undefined },
): void {
  const { attachment, config, steps } = call;
  const { addressed, inside, variation } = parts;
  const { host } = parts.sandbox;
  const changes = [
    ...protecting(host, { attachment, config, addresses: addressed.addresses, mac: inside.mac }),
    ...(variation?.protecting(host, addressed.result) ?? []),
  ];
  if (changes.length === 0) return;
  parts.rollback.defer("clear nf_tables", () => {
    using again = NetworkNamespace.host(steps);
    unprotect(again, { attachment, also: variation?.unprotecting });
  });
  during(`set up nf_tables for "${attachment.ifname}" of "${attachment.containerId}"`, () => changeRuleset(host, changes));
}

function unprotect(
  host: NetworkNamespace,
  { attachment, also }: { attachment: Attachment; also: Unprotecting | undefined },
): void {
  clearRuleset(host, (present) => [unprotecting(host, { attachment, present }), ...(also?.(host, present) ?? [])]);
}

/** The veth pair with its host end a port of the bridge, up, with the port's flags and VLANs. */
function plugIn(call: AddCall<BridgeConfig>, parts: { sandbox: Sandbox; bridgeLink: Link; rollback: Rollback }): void {
  const { attachment, config, steps } = call;
  const { host } = parts.sandbox;
  const name = hostLinkName(attachment);
  refuseTinyMtu(host, parts.bridgeLink, config.mtu);
  createVeth(parts.sandbox, {
    host: { name, mac: randomMac(), master: parts.bridgeLink },
    container: { name: attachment.ifname, mac: config.mac ?? randomMac() },
    mtu: config.mtu,
  });
  parts.rollback.defer(`delete link "${name}"`, () => deleteHostLink(attachment, steps));
  const port = getLink(host, name);
  startPort(host, port, { hairpin: config.hairpin, isolated: config.isolated, alias: linkAlias(attachment, "adding") });
  if (config.portVlans.length > 0) {
    if (!config.keepDefaultVlan) deletePortVlans(host, port, listPortVlans(host, port));
    addPortVlans(host, port, config.portVlans);
  }
}

/** A bridge follows its port of the smallest MTU, and below IPv6's smallest (RFC 8200) the kernel takes all of IPv6 off it, for good. */
function refuseTinyMtu(host: NetworkNamespace, bridgeLink: Link, mtu: number): void {
  if (mtu === 0 || mtu >= SMALLEST_IPV6_MTU) return;
  const [own] = listAddresses(host, bridgeLink, 6).filter(({ prefix }) => !LINK_LOCAL.contains(prefix.address));
  if (own === undefined) return;
  throw new CniError(
    codes.invalidConfig,
    `"mtu" is ${mtu}, and "${bridgeLink.name}" has ${own.prefix}, which needs ${SMALLEST_IPV6_MTU}`,
  );
}

function describe({ name, mac, mtu }: Link): Interface {
  return { name, mac, mtu };
}

interface Addressed {
  readonly result: Result;
  /** Of the container, with the lengths of their networks. */
  readonly addresses: readonly Prefix[];
  readonly vlanGateway?: Link | undefined;
}

function bareResult(call: AddCall<BridgeConfig>, container: NetworkNamespace, inside: Link): Addressed {
  if (call.config.containerUp) setUp(container, inside);
  return { result: call.config.dns === undefined ? {} : { dns: call.config.dns }, addresses: [] };
}

/** Addresses from IPAM on the container's interface, the gateway's on the bridge. */
function address(
  call: AddCall<BridgeConfig>,
  parts: { sandbox: Sandbox; bridgeLink: Link; inside: Link; rollback: Rollback; variation: Variation | undefined },
): Addressed {
  const { attachment, config, steps } = call;
  const { inside, bridgeLink, rollback } = parts;
  const { host, container } = parts.sandbox;
  const leased = withGateways(leaseAddresses(call, { type: config.ipamType ?? "", rollback }), config);
  // Undone newest first: the link must be gone before its addresses are released
  rollback.defer(`delete link "${hostLinkName(attachment)}"`, () => deleteHostLink(attachment, steps));
  const { addresses } = readAddressing(leased);
  const given = parts.variation?.shape(leased) ?? leased;
  const { addresses: own, routes } = readAddressing(given);
  parts.variation?.prepare(parts.sandbox, inside, bridgeLink);
  during(`configure "${inside.name}" in the container`, () =>
    configureLink(container, inside, {
      addresses: own.map(({ prefix }) => prefix),
      routes,
      detectDuplicates: config.detectDuplicates,
      unannounced: parts.variation?.unannounced === true,
    }),
  );
  parts.variation?.conclude(parts.sandbox);
  const vlanGateway = config.isGateway
    ? configuring(`set up the gateway on bridge "${bridgeLink.name}"`, () =>
        setUpGateway(host, config, { bridgeLink, addresses }),
      )
    : undefined;
  const { interfaces: _theirs, ...lease } = given; // IPAM makes no interfaces, though some print an empty list of them
  const result = { ...lease, ips: (lease.ips ?? []).map((ip) => ({ ...ip, interface: 2 })) };
  return {
    result: config.dns === undefined ? result : { ...result, dns: config.dns },
    addresses: addresses.map(({ prefix }) => prefix),
    vlanGateway,
  };
}

/** The host end once the bridge forwards on it; a packet sent earlier would be lost. */
function waitForPort(host: NetworkNamespace, name: string, config: BridgeConfig): Link {
  if (!config.containerUp) return getLink(host, name);
  const port = waitUntilOperational(host, name, PORT_TIMEOUT_MS);
  if (port !== undefined) return port;
  const state = findLink(host, name)?.operState;
  const is = state === undefined ? "gone" : `in operational state ${state}`;
  throw new Error(`Cannot bring up port "${name}" of bridge "${config.bridge}" in ${PORT_TIMEOUT_MS} ms: it is ${is}`);
}
