import { requireChained } from "../attachment/chained.ts";
import { CniError, codes } from "../cni/error.ts";
import {
  type AddCall,
  type Attachment,
  type CheckCall,
  type DelCall,
  definePlugin,
  type GcCall,
  type StatusCall,
} from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { formatHostPort } from "../firewall/host-port.ts";
import { checkHostPorts } from "../firewall/host-port-check.ts";
import { HostPortTakenError } from "../firewall/host-port-owner.ts";
import {
  addHostPorts,
  collectHostPorts,
  deleteHostPorts,
  finishHostPorts,
  finishRemoval,
  type HostPortPlan,
  planHostPorts,
  type RemovedHostPorts,
  rehearseHostPorts,
} from "../firewall/host-ports.ts";
import { deleteReferenceHostPorts } from "../firewall/reference-host-ports.ts";
import { isAmong, podlinkTable } from "../firewall/table.ts";
import type { Family } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import { findLink } from "../link/links.ts";
import { hostLinkName } from "../link/names.ts";
import { NetworkNamespace } from "../link/namespace.ts";
import { tableNames, transaction } from "../link/nftables.ts";
import { during, Failures, reason } from "../support/errors.ts";
import { type PortmapConfig, portmapSchema, resolvePortmap } from "./portmap-config.ts";

/** Maps ports of the node to ports of the container: drop-in for the reference's type of that name, behind one that gives addresses. */
export const portmap = definePlugin({
  type: "portmap",
  schema: portmapSchema,
  resolve: resolvePortmap,

  add(call: AddCall<PortmapConfig>, rollback): Result {
    const { attachment, config, steps, warn } = call;
    const prevResult = requireChained(call, "map ports");
    for (const shortcoming of config.shortcomings) warn(shortcoming);
    if (config.ports.length === 0) return prevResult;
    using host = NetworkNamespace.host(steps);
    const plan = planFor(host, call, prevResult);
    warnOfMissingFamilies(call, plan);
    rollback.defer(`unmap the ports of "${attachment.containerId}"`, () => unmap(call));
    const notes: string[] = [];
    mapping(() =>
      transaction(host, (batch) => {
        const { takenOver, shared } = addHostPorts(host, batch, plan);
        notes.splice(0, notes.length, ...takenOver, ...shared);
      }),
    );
    for (const note of notes) warn(note);
    finishHostPorts(host, plan, { warn });
    return prevResult;
  },

  check(call: CheckCall<PortmapConfig>): void {
    const { config, prevResult, steps } = call;
    if (config.ports.length === 0) return;
    using host = NetworkNamespace.host(steps);
    const failures = new Failures();
    checkHostPorts(host, failures, planFor(host, call, prevResult));
    failures.throwAny();
  },

  del(call: DelCall<PortmapConfig>): void {
    unmap(call);
  },

  gc({ network, steps, valid, warn }: GcCall<PortmapConfig>): void {
    using host = NetworkNamespace.host(steps);
    if (!isAmong(tableNames(host), podlinkTable)) return;
    let removed: RemovedHostPorts | undefined;
    during(`unmap stale host ports of network "${network}"`, () =>
      transaction(host, (batch) => {
        removed = collectHostPorts(host, batch, { network, valid });
      }),
    );
    if (removed !== undefined) finishRemoval(host, removed, { warn });
  },

  status({ steps }: StatusCall<PortmapConfig>): void {
    using host = NetworkNamespace.host(steps);
    try {
      rehearseHostPorts(host);
    } catch (error) {
      throw new CniError(codes.unavailable, `Cannot map ports: ${reason(error)}`, { cause: error });
    }
  },
});

function planFor(host: NetworkNamespace, call: AddCall<PortmapConfig>, prevResult: Result): HostPortPlan {
  const { attachment, config, warn } = call;
  const targets = containerAddresses(prevResult, attachment.ifname);
  if (targets.length === 0) warn(`no port is mapped: "${attachment.ifname}" has no address in "prevResult"`);
  const { masquerade, pod, ports } = config;
  return planHostPorts(host, { attachment, pod, ports, masquerade, targets, hostLink: hostLinkOf(host, attachment, prevResult) });
}

/** The first address of each family that is the interface's, or that a result does not say whose it is; as the reference chooses. */
function containerAddresses({ interfaces = [], ips = [] }: Result, ifname: string): Prefix[] {
  const candidates = ips.filter(({ interface: place }) => {
    const link = place === undefined ? undefined : interfaces[place];
    return link === undefined || (link.name === ifname && (link.sandbox ?? "") !== "");
  });
  const prefixes = candidates.map(({ address }) => Prefix.parse(address));
  return ([4, 6] as const).flatMap((family: Family) => prefixes.find((prefix) => prefix.family === family) ?? []);
}

/** The attachment's link on the host: podlink's by its name, another plugin's as the result has it. */
function hostLinkOf(host: NetworkNamespace, attachment: Attachment, { interfaces = [] }: Result): string | undefined {
  const names = interfaces.flatMap(({ name, sandbox }) => ((sandbox ?? "") === "" ? [name] : []));
  return [hostLinkName(attachment), ...names].find((name) => findLink(host, name)?.kind === "veth");
}

function warnOfMissingFamilies({ config, warn }: AddCall<PortmapConfig>, { ports, ...plan }: HostPortPlan): void {
  const families = new Set(ports.flatMap(({ entry }) => (entry.set.name.startsWith("hostport4") ? [4] : [6])));
  if (families.size === 0 && plan.shortcomings.length === 0) return;
  for (const port of config.ports) {
    if (port.hostAddress !== undefined && !families.has(port.hostAddress.family)) {
      warn(`host port ${formatHostPort(port)} is not mapped: the container has no address of that family`);
    }
  }
  if (families.has(4) && families.has(6) && config.ports.some(({ families: both }) => both.length === 2)) {
    warn("host ports are reached at [::1] in no case; 127.0.0.1 and all other addresses of the node work");
  }
}

/** Somebody else has the port: another try can succeed when that container is gone. */
function mapping(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof HostPortTakenError)) throw new Error(`Cannot map ports: ${reason(error)}`, { cause: error });
    throw new CniError(codes.tryAgainLater, error.message, {
      details: "take another host port, or remove that container; GC removes what no container has any more",
      cause: error,
    });
  }
}

function unmap({ attachment, steps, warn }: Pick<DelCall<PortmapConfig>, "attachment" | "steps" | "warn">): void {
  using host = NetworkNamespace.host(steps);
  const present = tableNames(host);
  if (present.size === 0) return;
  let removed: RemovedHostPorts | undefined;
  during(`unmap the host ports of "${attachment.containerId}"`, () =>
    transaction(host, (batch) => {
      if (isAmong(present, podlinkTable)) removed = deleteHostPorts(host, batch, attachment);
      deleteReferenceHostPorts(host, batch, { containerId: attachment.containerId, present });
    }),
  );
  if (removed !== undefined) finishRemoval(host, removed, { warn });
}
