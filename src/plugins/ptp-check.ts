import { planPointToPoint } from "../attachment/point-to-point.ts";
import { openSandbox } from "../attachment/sandbox.ts";
import { addressingOf, expectSame, verifyAddresses, verifyRoutes } from "../attachment/verify.ts";
import type { CheckCall } from "../cni/plugin.ts";
import type { Interface } from "../cni/result.ts";
import type { Prefix } from "../ip/prefix.ts";
import { listAddresses } from "../link/addresses.ts";
import { hasHostRoute } from "../link/host-route.ts";
import { findLink, getLink, type Link } from "../link/links.ts";
import { hostLinkName } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import { readSysctl } from "../link/sysctl.ts";
import type { Failures } from "../support/errors.ts";
import type { PtpConfig } from "./ptp-config.ts";
import { verifyMasquerade } from "./ptp-masquerade.ts";

/** Compares what ADD made with what is there; every difference is kept in `failures` with what was expected and what is. */
export function checkPointToPoint(call: CheckCall<PtpConfig>, failures: Failures): void {
  const { attachment, config, netns, prevResult } = call;
  using sandbox = openSandbox(netns, call.steps);
  const { host, container } = sandbox;
  const interfaces = prevResult.interfaces ?? [];
  const place = interfaces.findIndex((each) => each.name === attachment.ifname && (each.sandbox ?? "") !== "");
  const expected = interfaces[place];
  if (expected === undefined)
    throw new Error(`Cannot find "${attachment.ifname}" with a sandbox among the interfaces of prevResult`);
  failures.attempt("match the sandbox", () =>
    expectSame("the sandbox of prevResult", { expected: netns, actual: expected.sandbox }),
  );
  const inside = failures.attempt(`find "${attachment.ifname}" in the container`, () => getLink(container, attachment.ifname));
  const outside = findHostLink(call, { host, inside, failures });
  const plan = failures.attempt("read the addresses of prevResult", () => {
    const addressing = addressingOf(prevResult, place);
    const { routes, gateways } = planPointToPoint(addressing);
    return { addresses: addressing.addresses, routes, gateways };
  });
  const prefixes = plan?.addresses.map(({ prefix }) => prefix) ?? [];
  if (outside !== undefined) {
    checkHostLink(outside, { interfaces, failures });
    checkHostEnd(host, outside, { addresses: prefixes, gateways: plan?.gateways ?? [], failures });
    // What another implementation attached, it masquerades in its own way
    if (outside.name === hostLinkName(attachment)) verifyMasquerade(host, failures, { attachment, config, addresses: prefixes });
  }
  if (inside === undefined) return;
  failures.attempt(`check "${inside.name}" in the container`, () => {
    expectSame("its kind", { expected: "veth", actual: inside.kind });
    if (expected.mac !== undefined) expectSame("its MAC address", { expected: expected.mac.toLowerCase(), actual: inside.mac });
    if (outside !== undefined) expectSame("the link at its other end", { expected: outside.index, actual: inside.peer });
    expectSame("its state", { expected: "up", actual: inside.up ? "up" : "down" });
  });
  if (plan === undefined) return;
  verifyAddresses(container, inside, { plan, failures });
  verifyRoutes(container, inside, { plan, failures });
}

/** The host's end: by the name that follows from the attachment, or, made by another implementation, the one prevResult lists. */
function findHostLink(
  { attachment, prevResult }: CheckCall<PtpConfig>,
  parts: { host: NetworkNamespace; inside: Link | undefined; failures: Failures },
): Link | undefined {
  const { host, inside, failures } = parts;
  const ours = hostLinkName(attachment);
  return failures.attempt("find the host end of the veth pair", () => {
    const found = findLink(host, ours) ?? (inside?.peer === undefined ? undefined : findLink(host, inside.peer));
    if (found === undefined || !(prevResult.interfaces ?? []).some((each) => each.name === found.name))
      throw new Error(`link "${ours}" not found`);
    return found;
  });
}

function checkHostLink(link: Link, { interfaces, failures }: { interfaces: readonly Interface[]; failures: Failures }): void {
  failures.attempt(`check "${link.name}" on the node`, () => {
    expectSame("its state", { expected: "up", actual: link.up ? "up" : "down" });
    // The container's end is what later plugins change; a result of another implementation has no MTU
    const listed = interfaces.find((each) => each.name === link.name);
    if (listed?.mac !== undefined) expectSame("its MAC address", { expected: listed.mac.toLowerCase(), actual: link.mac });
    if (listed?.mtu !== undefined) expectSame("its MTU", { expected: listed.mtu, actual: link.mtu });
  });
}

/** What ADD gave the node: the gateways' addresses, the routes to the container's, forwarding. */
function checkHostEnd(
  host: NetworkNamespace,
  link: Link,
  wanted: { addresses: readonly Prefix[]; gateways: readonly Prefix[]; failures: Failures },
): void {
  const { addresses, gateways, failures } = wanted;
  const present = listAddresses(host, link).map(({ prefix }) => prefix);
  for (const gateway of gateways) {
    failures.attempt(`find gateway address ${gateway}`, () => {
      if (present.some((prefix) => prefix.equals(gateway))) return;
      throw new Error(`"${link.name}" has ${present.length === 0 ? "no address" : present.join(", ")}`);
    });
  }
  for (const { address } of addresses) {
    failures.attempt(`find the node's route to ${address}`, () => {
      if (!hasHostRoute(host, link, address)) throw new Error(`there is none over "${link.name}"`);
    });
  }
  for (const family of new Set(addresses.map((prefix) => prefix.family))) {
    const key = family === 4 ? "net/ipv4/ip_forward" : "net/ipv6/conf/all/forwarding";
    failures.attempt("check forwarding", () => expectSame(`sysctl ${key}`, { expected: "1", actual: readSysctl(host, key) }));
  }
}
