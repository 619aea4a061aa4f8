import { isAnothers, requireChained } from "../attachment/chained.ts";
import { locked } from "../attachment/locked.ts";
import { openSandbox } from "../attachment/sandbox.ts";
import { CniError, codes } from "../cni/error.ts";
import { type AddCall, type CheckCall, type DelCall, definePlugin, type StatusCall } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { Address } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import { findLink, getLink } from "../link/links.ts";
import { NetworkNamespace } from "../link/namespace.ts";
import { listRules, NoRulesError } from "../link/rules.ts";
import { installSourceRouting, type Source, type SourceRouting } from "../link/source-routing.ts";
import { verifySourceRouting } from "../link/source-routing-check.ts";
import { removeSourceRouting } from "../link/source-routing-removal.ts";
import { during, Failures } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import { Netns } from "../sys/netns.ts";
import { resolveSbr, type SbrConfig, sbrSchema } from "./sbr-config.ts";

/** Source-based routing: answers leave a container over the interface by whose address it was asked. Drop-in for the reference's `sbr`. */
export const sbr = definePlugin({
  type: "sbr",
  schema: sbrSchema,
  resolve: resolveSbr,

  add(call: AddCall<SbrConfig>, rollback: Rollback): Result {
    const { attachment, config, netns, steps, warn } = call;
    const action = `route by the addresses of "${attachment.ifname}"`;
    const prevResult = requireChained(call, action);
    using sandbox = openSandbox(netns, steps);
    const { container } = sandbox;
    const link = during(action, () => getLink(container, attachment.ifname));
    noteUnused(call);
    rollback.defer(`take the rules for "${attachment.ifname}" off`, () => remove({ ...call, prevResult }, { unmarked: false }));
    locked(container, () => {
      removeSourceRouting(container, link, { table: config.table, unmarked: false, sources: [], warn });
      during(action, () => installSourceRouting(container, link, { ...wishOf(call, prevResult), warn }));
    });
    return prevResult;
  },

  check(call: CheckCall<SbrConfig>): void {
    const { attachment, netns, prevResult, steps } = call;
    using sandbox = openSandbox(netns, steps);
    const { container } = sandbox;
    const failures = new Failures();
    const link = during("check routing by source", () => getLink(container, attachment.ifname));
    verifySourceRouting(container, link, { wish: wishOf(call, prevResult), failures });
    failures.throwAny();
  },

  del(call: DelCall<SbrConfig>): void {
    remove(call, { unmarked: true });
  },

  /** Rules and tables are the container's: they went with its namespace, and nothing of them was on the node. */
  gc() {},

  status({ steps }: StatusCall<SbrConfig>): void {
    using host = NetworkNamespace.host(steps);
    try {
      listRules(host);
    } catch (error) {
      if (!(error instanceof NoRulesError)) throw error;
      throw new CniError(codes.unavailable, `Cannot route by source: ${error.message}`, { cause: error });
    }
  },
});

function noteUnused({ config, warn }: AddCall<SbrConfig>): void {
  const { table, gateways, addSourceHints } = config;
  if (table === undefined || (Object.keys(gateways).length === 0 && !addSourceHints)) return;
  warn(`with "table" there are rules and no routes: "gateways" and "addSourceHints" change nothing`);
}

function remove(call: DelCall<SbrConfig>, { unmarked }: { unmarked: boolean }): void {
  const { attachment, config, steps, warn, prevResult } = call;
  const netns = Netns.tryOpen(call.netns);
  if (netns === undefined) return; // it went with the namespace
  using container = NetworkNamespace.container(netns, steps);
  const link = findLink(container, attachment.ifname);
  if (isAnothers(container, link, call)) return;
  const sources = addressesOf(prevResult ?? {}, attachment.ifname).map(({ prefix }) => prefix.address);
  try {
    locked(container, () => removeSourceRouting(container, link, { table: config.table, unmarked, sources, warn }));
  } catch (error) {
    if (!(error instanceof NoRulesError)) throw error; // a kernel without rules has none of ours
  }
}

function wishOf({ attachment, config }: Pick<AddCall<SbrConfig>, "attachment" | "config">, result: Result): SourceRouting {
  const sources = addressesOf(result, attachment.ifname);
  return {
    sources: sources.map((source) => ({ ...source, gateway: gatewayFor(source, { config, sources }) })),
    table: config.table,
    keepNetworks: config.addSourceHints,
  };
}

/** A configured gateway is for every address, but for those that have one of their own and are in another network than the configured one. */
function gatewayFor(
  { prefix, gateway }: Source,
  { config, sources }: { config: SbrConfig; sources: readonly Source[] },
): Address | undefined {
  const configured = config.gateways[prefix.family];
  if (configured === undefined || gateway === undefined) return configured ?? gateway;
  const isElsewhere = !prefix.contains(configured) && sources.some((other) => other.prefix.contains(configured));
  return isElsewhere ? gateway : configured;
}

/** The addresses of the interface; those of which nobody said where they are belong to it, too. Each once. */
function addressesOf({ interfaces = [], ips = [] }: Result, ifname: string): Source[] {
  const sources = new Map<string, Source>();
  for (const { interface: place, address, gateway } of ips) {
    if (place !== undefined && (interfaces[place]?.name ?? ifname) !== ifname) continue;
    const prefix = Prefix.parse(address);
    const key = String(prefix.address);
    if (!sources.has(key)) sources.set(key, { prefix, gateway: gateway === undefined ? undefined : Address.parse(gateway) });
  }
  return [...sources.values()];
}
