import { CniError, codes } from "../cni/error.ts";
import type { AddCall, Attachment, DelCall } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { formatHostPort } from "../firewall/host-port.ts";
import type { Claims } from "../firewall/host-port-claims.ts";
import { HostPortTakenError } from "../firewall/host-port-owner.ts";
import { deleteHostPorts, hostPortRemoval, nothing } from "../firewall/host-port-removal.ts";
import { wishedPorts } from "../firewall/host-port-unmapped.ts";
import { addHostPorts, finishHostPorts, type HostPortPlan, planHostPorts } from "../firewall/host-ports.ts";
import { hostPortChainOf, noticeOfChains } from "../firewall/iptables-leftovers.ts";
import { deleteReferenceHostPorts } from "../firewall/reference-host-ports.ts";
import type { RulesetChange } from "../firewall/ruleset-change.ts";
import { isAmong, podlinkTable } from "../firewall/table.ts";
import type { Family } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import { findLink } from "../link/links.ts";
import { hostLinkName } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import type { PortmapConfig } from "./portmap-config.ts";

/** Maps the ports that the configuration asks for; undefined: none. What comes to nothing is told to `call.warn`. */
export function mappingOf(host: NetworkNamespace, call: AddCall<PortmapConfig>, prevResult: Result): RulesetChange | undefined {
  const { config, warn } = call;
  for (const shortcoming of config.shortcomings) warn(shortcoming);
  if (!hasWishes(config)) return undefined;
  const plan = planFor(host, call, prevResult);
  warnOfMissingFamilies(call, prevResult);
  let claims: Claims = { takenOver: [], shared: [] };
  return {
    put(batch) {
      claims = claiming(() => addHostPorts(host, batch, plan));
    },
    finish() {
      for (const note of [...claims.takenOver, ...claims.shared]) warn(note);
      finishHostPorts(host, plan, { warn, takenOver: claims.takenOver.length > 0 });
    },
  };
}

/** Unmaps an attachment's ports, the reference's too. @param present names of the tables there are */
export function unmappingOf(
  host: NetworkNamespace,
  call: Pick<DelCall<PortmapConfig>, "attachment" | "config" | "prevResult" | "warn">,
  present: ReadonlySet<string>,
): RulesetChange {
  const { attachment, config, warn } = call;
  const { containerId, ifname } = attachment;
  const addresses = containerAddresses(call.prevResult ?? {}, ifname).map(({ address }) => address);
  return hostPortRemoval(host, {
    warn: (message) => warn(message),
    known: wishedPorts(config.ports, addresses),
    remove(batch) {
      deleteReferenceHostPorts(host, batch, { containerId, present });
      return isAmong(present, podlinkTable) ? deleteHostPorts(host, batch, attachment) : nothing;
    },
  });
}

/** Tells of ports that the reference mapped with iptables. Stands behind the former. */
export function noticeOfFormerPorts(
  host: NetworkNamespace,
  { attachment, config, warn }: Pick<DelCall<PortmapConfig>, "attachment" | "config" | "warn">,
  present: ReadonlySet<string>,
): RulesetChange {
  return noticeOfChains(host, { chains: config.ports.length > 0 ? [hostPortChainOf(attachment)] : [], present, warn });
}

/** What a configuration asks for on this host. @param prevResult says the container's addresses */
export function planFor(host: NetworkNamespace, call: AddCall<PortmapConfig>, prevResult: Result): HostPortPlan {
  const { attachment, config, warn } = call;
  const prefixes = containerAddresses(prevResult, attachment.ifname);
  // The first of each family, as the reference chooses
  const targets = ([4, 6] as const).flatMap((family: Family) => prefixes.find((prefix) => prefix.family === family) ?? []);
  if (targets.length === 0) warn(`no port is mapped: "${attachment.ifname}" has no address in "prevResult"`);
  const { masquerade, pod, ports } = config;
  return planHostPorts(host, {
    attachment,
    pod,
    ports,
    masquerade,
    targets,
    hostLink: hostLinkOf(host, attachment, prevResult),
    selfReaching: config.reachesItself ? prefixes.map(({ address }) => address) : [],
  });
}

/** Whether a configuration asks for anything. */
export function hasWishes({ ports, reachesItself }: PortmapConfig): boolean {
  return ports.length > 0 || reachesItself;
}

/** The addresses that are the interface's, or that a result does not say whose they are. */
function containerAddresses({ interfaces = [], ips = [] }: Result, ifname: string): Prefix[] {
  const candidates = ips.filter(({ interface: place }) => {
    const link = place === undefined ? undefined : interfaces[place];
    return link === undefined || (link.name === ifname && (link.sandbox ?? "") !== "");
  });
  return candidates.map(({ address }) => Prefix.parse(address));
}

/** The attachment's link on the host: podlink's by its name, another plugin's as the result has it. */
function hostLinkOf(host: NetworkNamespace, attachment: Attachment, { interfaces = [] }: Result): string | undefined {
  const names = interfaces.flatMap(({ name, sandbox }) => ((sandbox ?? "") === "" ? [name] : []));
  return [hostLinkName(attachment), ...names].find((name) => findLink(host, name)?.kind === "veth");
}

function warnOfMissingFamilies({ attachment, config, warn }: AddCall<PortmapConfig>, prevResult: Result): void {
  const present = new Set(containerAddresses(prevResult, attachment.ifname).map(({ family }) => family));
  if (present.size === 0) return; // which planFor has told
  for (const port of config.ports.filter(({ families }) => !families.some((family) => present.has(family)))) {
    warn(`host port ${formatHostPort(port)} is not mapped: the container has no IPv${port.families.join()} address`);
  }
  if (present.size === 2 && config.ports.some(({ families }) => families.length === 2)) {
    warn("host ports are reached at [::1] in no case; 127.0.0.1 and all other addresses of the node work");
  }
}

/** Somebody else has the port: another try can succeed when that container is gone. */
function claiming<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof HostPortTakenError)) throw error;
    throw new CniError(codes.tryAgainLater, error.message, {
      details: "take another host port, or remove that container; GC removes what no container has any more",
      cause: error,
    });
  }
}
