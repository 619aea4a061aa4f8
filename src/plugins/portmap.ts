import { requireChained } from "../attachment/chained.ts";
import { CniError, codes } from "../cni/error.ts";
import { type AddCall, type CheckCall, type DelCall, definePlugin, type GcCall, type StatusCall } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { checkHostPorts } from "../firewall/host-port-check.ts";
import { collectHostPorts, hostPortRemoval } from "../firewall/host-port-removal.ts";
import { rehearseHostPorts } from "../firewall/host-ports.ts";
import { changeRuleset, clearRuleset } from "../firewall/ruleset-change.ts";
import { isAmong, podlinkTable } from "../firewall/table.ts";
import { NetworkNamespace } from "../link/namespace.ts";
import { tableNames } from "../link/nftables.ts";
import { during, Failures, reason } from "../support/errors.ts";
import { type PortmapConfig, portmapSchema, resolvePortmap } from "./portmap-config.ts";
import { hasWishes, mappingOf, noticeOfFormerPorts, planFor, unmappingOf } from "./portmap-rules.ts";

/** Maps ports of the node to ports of the container: drop-in for the reference's type of that name, behind one that gives addresses. */
export const portmap = definePlugin({
  type: "portmap",
  schema: portmapSchema,
  resolve: resolvePortmap,

  add(call: AddCall<PortmapConfig>, rollback): Result {
    const prevResult = requireChained(call, "map ports");
    using host = NetworkNamespace.host(call.steps);
    const change = mappingOf(host, call, prevResult);
    if (change === undefined) return prevResult;
    rollback.defer(`unmap the ports of "${call.attachment.containerId}"`, () => unmap(call));
    mapping(() => changeRuleset(host, [change]));
    return prevResult;
  },

  check(call: CheckCall<PortmapConfig>): void {
    const { config, prevResult, steps } = call;
    if (!hasWishes(config)) return;
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
    const removal = hostPortRemoval(host, { warn, remove: (batch) => collectHostPorts(host, batch, { network, valid }) });
    during(`unmap stale host ports of network "${network}"`, () => changeRuleset(host, [removal]));
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

function mapping(work: () => void): void {
  try {
    work();
  } catch (error) {
    if (error instanceof CniError) throw error; // says all there is to say
    throw new Error(`Cannot map ports: ${reason(error)}`, { cause: error });
  }
}

function unmap(call: AddCall<PortmapConfig> | DelCall<PortmapConfig>): void {
  using host = NetworkNamespace.host(call.steps);
  during(`unmap the host ports of "${call.attachment.containerId}"`, () =>
    clearRuleset(host, (present) => [unmappingOf(host, call, present), noticeOfFormerPorts(host, call, present)]),
  );
}
