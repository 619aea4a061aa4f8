import { readAddressing } from "../attachment/addressing.ts";
import { clearLeftover, collectHostLinks, deleteHostLink, deleteVeth } from "../attachment/host-links.ts";
import { leaseAddresses } from "../attachment/lease.ts";
import { openSandbox } from "../attachment/sandbox.ts";
import { CniError, codes } from "../cni/error.ts";
import { type AddCall, type CheckCall, type DelCall, definePlugin, type GcCall, type StatusCall } from "../cni/plugin.ts";
import type { Interface, Result } from "../cni/result.ts";
import { announce } from "../link/announce.ts";
import { addPortVlans, deletePortVlans, listPortVlans } from "../link/bridge-vlans.ts";
import { ensureBridge, findBridge, NotABridgeError, startPort } from "../link/bridges.ts";
import { configureLink } from "../link/configure.ts";
import { findLink, getLink, type Link, setLink, setUp } from "../link/links.ts";
import { hostLinkName, linkAlias } from "../link/names.ts";
import { NetworkNamespace, type Sandbox } from "../link/namespace.ts";
import { createVeth, randomMac } from "../link/veth.ts";
import { waitUntilOperational } from "../link/wait.ts";
import { during, Failures } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import { checkBridge } from "./bridge-check.ts";
import { type BridgeConfig, bridgeSchema, resolveBridge } from "./bridge-config.ts";
import { configuring, setUpGateway, withGateways } from "./bridge-gateway.ts";

/** How long a port may take to come up; without spanning tree it takes none. */
const PORT_TIMEOUT_MS = 3000;

/** A veth pair from the container to a bridge of the host, with or without addresses: drop-in for the reference's type of that name. */
export const bridge = definePlugin({
  type: "bridge",
  schema: bridgeSchema,
  resolve: resolveBridge,

  add(call: AddCall<BridgeConfig>, rollback: Rollback): Result {
    const { attachment, config, netns, steps } = call;
    using sandbox = openSandbox(netns, steps);
    const { host, container } = sandbox;
    const hadLeftover = during(`attach "${attachment.ifname}" of "${attachment.containerId}"`, () =>
      clearLeftover(sandbox, attachment),
    );
    if (hadLeftover && config.ipamType !== undefined) call.delegate(config.ipamType).del();
    const { bridge: name, mtu, vlanFiltering, promiscuous } = config;
    const bridgeLink = configuring(`set up bridge "${name}"`, () =>
      ensureBridge(host, { name, mtu, vlanFiltering, promiscuous }),
    );
    configuring(`attach "${attachment.ifname}" to bridge "${name}"`, () => plugIn(call, { sandbox, bridgeLink, rollback }));
    const inside = getLink(container, attachment.ifname);

    const addressed =
      config.ipamType === undefined
        ? bareResult(call, container, inside)
        : address(call, { sandbox, bridgeLink, inside, rollback });
    const port = waitForPort(host, hostLinkName(attachment), config);
    if (config.ipamType !== undefined) announce(container, inside);
    const alias = linkAlias(attachment, "attached"); // says that the ADD is whole: the last change of all
    setLink(host, port, { command: `alias "${alias}"`, message: { alias } });
    const bridgeNow = getLink(host, bridgeLink.index); // unless pinned, its MAC may have followed the new port's
    const interfaces = [describe(bridgeNow), describe(port), { ...describe(inside), sandbox: netns }];
    if (addressed.vlanGateway !== undefined) interfaces.push(describe(addressed.vlanGateway));
    return { interfaces, ...addressed.result };
  },

  check(call: CheckCall<BridgeConfig>): void {
    const { config } = call;
    const failures = new Failures();
    if (config.ipamType !== undefined) {
      const delegate = call.delegate(config.ipamType);
      failures.attempt("check the addresses with IPAM", () => delegate.check());
    }
    checkBridge(call, failures);
    failures.throwAny();
  },

  del(call: DelCall<BridgeConfig>): void {
    const { attachment, config, netns, steps } = call;
    // The datapath goes first, and if it does not go, the address stays taken: it is free only when nobody answers to it any more
    during(`detach "${attachment.ifname}" of "${attachment.containerId}"`, () => deleteVeth(attachment, { netns, steps }));
    if (config.ipamType !== undefined) call.delegate(config.ipamType).del();
  },

  gc(call: GcCall<BridgeConfig>): void {
    const { config, network, steps, valid } = call;
    const failures = new Failures();
    failures.attempt(`remove stale links of network "${network}"`, () => collectHostLinks(network, { valid, steps }));
    if (config.ipamType !== undefined) {
      const { ipamType } = config;
      failures.attempt(`release stale addresses of network "${network}"`, () => call.delegate(ipamType).gc());
    }
    failures.throwAny();
  },

  status(call: StatusCall<BridgeConfig>): void {
    using host = NetworkNamespace.host(call.steps);
    try {
      findBridge(host, call.config.bridge);
    } catch (error) {
      if (!(error instanceof NotABridgeError)) throw error;
      throw new CniError(codes.unavailable, error.message, {
        details: `remove or rename that link, or set "bridge" to another name`,
        cause: error,
      });
    }
    if (call.config.ipamType !== undefined) call.delegate(call.config.ipamType).status();
  },
});

/** The veth pair with its host end a port of the bridge, up, with the port's flags and VLANs. */
function plugIn(call: AddCall<BridgeConfig>, parts: { sandbox: Sandbox; bridgeLink: Link; rollback: Rollback }): void {
  const { attachment, config, steps } = call;
  const { host } = parts.sandbox;
  const name = hostLinkName(attachment);
  createVeth(parts.sandbox, {
    host: { name, mac: randomMac(), master: parts.bridgeLink.index },
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

function describe({ name, mac, mtu }: Link): Interface {
  return { name, mac, mtu };
}

interface Addressed {
  readonly result: Result;
  readonly vlanGateway?: Link | undefined;
}

function bareResult(call: AddCall<BridgeConfig>, container: NetworkNamespace, inside: Link): Addressed {
  if (call.config.containerUp) setUp(container, inside);
  return { result: call.config.dns === undefined ? {} : { dns: call.config.dns } };
}

/** Addresses from IPAM on the container's interface, the gateway's on the bridge. */
function address(
  call: AddCall<BridgeConfig>,
  parts: { sandbox: Sandbox; bridgeLink: Link; inside: Link; rollback: Rollback },
): Addressed {
  const { attachment, config, steps } = call;
  const { inside, bridgeLink, rollback } = parts;
  const { host, container } = parts.sandbox;
  const leased = withGateways(leaseAddresses(call, { type: config.ipamType ?? "", rollback }), config);
  // Undone newest first: the link must be gone before its addresses are released
  rollback.defer(`delete link "${hostLinkName(attachment)}"`, () => deleteHostLink(attachment, steps));
  const { addresses, routes } = readAddressing(leased);
  during(`configure "${inside.name}" in the container`, () =>
    configureLink(container, inside, {
      addresses: addresses.map(({ prefix }) => prefix),
      routes,
      detectDuplicates: config.detectDuplicates,
    }),
  );
  const vlanGateway = config.isGateway
    ? configuring(`set up the gateway on bridge "${bridgeLink.name}"`, () =>
        setUpGateway(host, config, { bridgeLink, addresses }),
      )
    : undefined;
  const { interfaces: _theirs, ...lease } = leased; // IPAM makes no interfaces, though some print an empty list of them
  const result = { ...lease, ips: (lease.ips ?? []).map((ip) => ({ ...ip, interface: 2 })) };
  return {
    result: config.dns === undefined ? result : { ...result, dns: config.dns },
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
