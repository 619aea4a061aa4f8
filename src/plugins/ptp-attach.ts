import { readAddressing } from "../attachment/addressing.ts";
import { clearLeftover, deleteHostLink, deleteVeth } from "../attachment/host-links.ts";
import { leaseAddresses } from "../attachment/lease.ts";
import { NoGatewayError, type PointToPoint, planPointToPoint } from "../attachment/point-to-point.ts";
import { openSandbox } from "../attachment/sandbox.ts";
import { CniError, codes } from "../cni/error.ts";
import type { AddCall, DelCall } from "../cni/plugin.ts";
import type { Interface, Result } from "../cni/result.ts";
import { addAddress } from "../link/addresses.ts";
import { configureLink } from "../link/configure.ts";
import { enableForwarding } from "../link/gateway.ts";
import { AddressTakenError, addHostRoute } from "../link/host-route.ts";
import { findLink, getLink, type Link, setLink, setUp } from "../link/links.ts";
import { hostLinkName, linkAlias } from "../link/names.ts";
import { NetworkNamespace, type Sandbox } from "../link/namespace.ts";
import { preferSysctls, writeSysctls } from "../link/sysctl.ts";
import { createVeth, randomMac } from "../link/veth.ts";
import { waitUntilOperational } from "../link/wait.ts";
import { during, reason } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import { shellWord } from "../support/shell-word.ts";
import type { PtpConfig } from "./ptp-config.ts";
import { endMasquerade, masquerade } from "./ptp-masquerade.ts";

/** How long the host's end may take to come up; usually it is up when the container's is. */
const LINK_TIMEOUT_MS = 3000;

/** ADD: veth pair, addresses and routes at both ends, forwarding, masquerading. */
export function attachPointToPoint(call: AddCall<PtpConfig>, rollback: Rollback): Result {
  const { attachment, config, netns, steps } = call;
  using sandbox = openSandbox(netns, steps);
  const { host, container } = sandbox;
  const hadLeftover = during(`attach "${attachment.ifname}" of "${attachment.containerId}"`, () =>
    clearLeftover(sandbox, attachment),
  );
  if (hadLeftover) clearRest(call);
  during(`connect "${attachment.ifname}" with the node`, () => makePair(call, { sandbox, rollback }));
  const inside = getLink(container, attachment.ifname);
  const outside = getLink(host, hostLinkName(attachment));

  const leased = leaseAddresses(call, { type: config.ipamType ?? "", rollback });
  // Undone newest first: the link must be gone before its addresses are released
  rollback.defer(`delete link "${outside.name}"`, () => deleteHostLink(attachment, steps));
  const plan = planFor(call, leased);
  during(`lead to "${attachment.ifname}" over "${outside.name}"`, () => configureHostEnd(host, outside, plan));
  during(`configure "${inside.name}" in the container`, () =>
    configureLink(container, inside, { ...plan, detectDuplicates: config.detectDuplicates, prefixRoutes: false }),
  );
  masquerade(host, { attachment, config, addresses: plan.addresses }, { rollback, steps, warn: call.warn });
  const port = waitForLink(host, outside.name);
  const alias = linkAlias(attachment, "attached"); // says that the ADD is whole: the last change of all
  setLink(host, port, { command: `alias ${shellWord(alias)}`, message: { alias } });
  const { interfaces: _theirs, ...lease } = leased; // IPAM makes no interfaces, though some print an empty list of them
  return {
    interfaces: [describe(port), { ...describe(inside), sandbox: netns }],
    ...lease,
    ips: (leased.ips ?? []).map((ip) => ({ ...ip, interface: 1 })),
    ...(config.dns === undefined ? {} : { dns: config.dns }),
  };
}

/** DEL: the pair is down, then go nf_tables and the pair. If one stays, so does the lease: an address is free when nobody answers to it. */
export function detachPointToPoint(call: DelCall<PtpConfig>): void {
  const { attachment, config, netns, steps, warn } = call;
  using host = NetworkNamespace.host(steps);
  deleteVeth(attachment, { host, netns, steps, beforehand: () => endMasquerade(host, { attachment, config, warn }) });
  if (config.ipamType !== undefined) call.delegate(config.ipamType).del();
}

/** What an attachment has beside its links: elements in nf_tables, then, as the last of all, its addresses. */
function clearRest(call: AddCall<PtpConfig>): void {
  const { attachment, config, steps, warn } = call;
  using host = NetworkNamespace.host(steps); // to the end: its closing waits until the kernel has really freed what was deleted
  during(`clear nf_tables of "${attachment.ifname}" of "${attachment.containerId}"`, () =>
    endMasquerade(host, { attachment, config, warn }),
  );
  if (config.ipamType !== undefined) call.delegate(config.ipamType).del();
}

/** The veth pair, its host end up. */
function makePair(call: AddCall<PtpConfig>, { sandbox, rollback }: { sandbox: Sandbox; rollback: Rollback }): void {
  const { attachment, config, steps } = call;
  const { host } = sandbox;
  const name = hostLinkName(attachment);
  createVeth(sandbox, {
    host: { name, mac: randomMac() },
    container: { name: attachment.ifname, mac: config.mac ?? randomMac() },
    mtu: config.mtu,
  });
  rollback.defer(`delete link "${name}"`, () => deleteHostLink(attachment, steps));
  const outside = getLink(host, name);
  const alias = linkAlias(attachment, "adding");
  setLink(host, outside, { command: `alias ${shellWord(alias)}`, message: { alias } });
  // Nothing may come from an advertisement, and without a link-local address that is settled the host asks for no IPv6 neighbour
  const six = `net/ipv6/conf/${name}`;
  preferSysctls(host, { [`${six}/accept_ra`]: "0", [`${six}/accept_dad`]: "0" });
  setUp(host, outside);
}

function planFor(call: AddCall<PtpConfig>, leased: Result): PointToPoint {
  try {
    return planPointToPoint(readAddressing(leased));
  } catch (error) {
    if (!(error instanceof NoGatewayError)) throw error;
    const { attachment, config } = call;
    throw new CniError(
      codes.invalidConfig,
      `Cannot attach "${attachment.ifname}": IPAM plugin "${config.ipamType ?? ""}" gave ${error.message}`,
      {
        details: 'the node is the gateway at the other end of the link: give "ipam" a "gateway" for every address',
        cause: error,
      },
    );
  }
}

/** Gateways' addresses at the host's end, routes to the container's over it, forwarding. */
function configureHostEnd(host: NetworkNamespace, outside: Link, { addresses, gateways }: PointToPoint): void {
  const families = new Set(addresses.map(({ family }) => family));
  if (families.has(6)) writeSysctls(host, { [`net/ipv6/conf/${outside.name}/disable_ipv6`]: "0" });
  for (const prefix of gateways) addAddress(host, outside, { prefix, prefixRoute: false });
  for (const { address } of addresses) {
    try {
      addHostRoute(host, outside, address);
    } catch (error) {
      if (!(error instanceof AddressTakenError)) throw error;
      throw new CniError(codes.tryAgainLater, `Cannot lead to ${address} over "${outside.name}": ${reason(error)}`, {
        details: "two cannot have the same address: remove the other one, or keep the address out of the range of IPAM",
        cause: error,
      });
    }
  }
  enableForwarding(host, families);
}

/** The host's end once it takes packets; one sent earlier would be lost. */
function waitForLink(host: NetworkNamespace, name: string): Link {
  const link = waitUntilOperational(host, name, LINK_TIMEOUT_MS);
  if (link !== undefined) return link;
  const state = findLink(host, name)?.operState;
  const is = state === undefined ? "gone" : `in operational state ${state}`;
  throw new Error(`Cannot bring up link "${name}" in ${LINK_TIMEOUT_MS} ms: it is ${is}`);
}

function describe({ name, mac, mtu }: Link): Interface {
  return { name, mac, mtu };
}
