import type { Addressing } from "../attachment/addressing.ts";
import { CniError, codes } from "../cni/error.ts";
import type { Result } from "../cni/result.ts";
import { Prefix } from "../ip/prefix.ts";
import { VlanFilteringError } from "../link/bridge-vlans.ts";
import { NotABridgeError, pinMac } from "../link/bridges.ts";
import { AddressConflictError, enableForwarding, ensureGateway, ensureVlanGatewayLink } from "../link/gateway.ts";
import { getLink, type Link } from "../link/links.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import { forgetNeighbour } from "../link/neighbours.ts";
import { during } from "../support/errors.ts";
import type { BridgeConfig } from "./bridge-config.ts";

/** Gateways where the bridge is one and IPAM named none; default routes through them where asked for and not there. */
export function withGateways(result: Result, config: BridgeConfig): Result {
  if (!config.isGateway) return result;
  const ips = (result.ips ?? []).map((ip) => ({
    ...ip,
    gateway: ip.gateway ?? String(Prefix.parse(ip.address).first().plus(1n)),
  }));
  const routes = [...(result.routes ?? [])];
  if (config.isDefaultGateway) {
    for (const { gateway } of ips) {
      const dst = gateway.includes(":") ? "::/0" : "0.0.0.0/0";
      if (!routes.some((route) => Prefix.parse(route.dst).equals(Prefix.parse(dst)) && route.gw !== undefined))
        routes.push({ dst, gw: gateway });
    }
  }
  return { ...result, ips, ...(routes.length === 0 ? {} : { routes }) };
}

/** The gateways' addresses on the bridge, or on the host's link in the container's VLAN, which is returned; forwarding. */
export function setUpGateway(
  host: NetworkNamespace,
  config: BridgeConfig,
  parts: { bridgeLink: Link; addresses: Addressing["addresses"] },
): Link | undefined {
  const { bridgeLink, addresses } = parts;
  const { vlan, keepDefaultVlan } = config;
  const vlanGateway = vlan === 0 ? undefined : ensureVlanGatewayLink(host, bridgeLink, { vlan, keepDefaultVlan });
  const target = vlanGateway ?? bridgeLink;
  let isNew = false;
  for (const { prefix, gateway } of addresses) {
    if (gateway === undefined) continue;
    if (ensureGateway(host, target, { address: new Prefix(gateway, prefix.length), force: config.forceAddress })) isNew = true;
    forgetNeighbour(host, target, prefix.address);
  }
  if (isNew && vlanGateway === undefined) pinMac(host, getLink(host, bridgeLink.index));
  enableForwarding(host, new Set(addresses.map(({ prefix }) => prefix.family)));
  return vlanGateway;
}

/** As `during`, with code 7 where the node is not as the configuration supposes: trying again would not help. */
export function configuring<T>(action: string, work: () => T): T {
  return during(action, () => {
    try {
      return work();
    } catch (error) {
      if (error instanceof NotABridgeError) {
        throw new CniError(codes.invalidConfig, error.message, {
          details: 'remove or rename that link, or set "bridge" to another name',
          cause: error,
        });
      }
      if (error instanceof AddressConflictError) {
        throw new CniError(codes.invalidConfig, error.message, {
          details: 'choose another "bridge", or set "forceAddress" to replace it',
          cause: error,
        });
      }
      if (error instanceof VlanFilteringError) {
        throw new CniError(codes.invalidConfig, error.message, {
          details: 'leave out "vlan" and "vlanTrunk", or use a kernel that has it',
          cause: error,
        });
      }
      throw error;
    }
  });
}
