import { array, exactOptional, type InferOutput, looseObject, object, string } from "valibot";
import { address, cidr, dns, route } from "../cni/config.ts";
import { CniError, codes } from "../cni/error.ts";
import { type ConfigContext, definePlugin } from "../cni/plugin.ts";
import type { Dns, IpConfig, Result, Route } from "../cni/result.ts";
import { atLeast } from "../cni/version.ts";
import { Address } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";

const ips = array(cidr);

function schema() {
  return object({
    ipam: object({
      type: exactOptional(string()),
      name: exactOptional(string()),
      addresses: exactOptional(array(object({ address: cidr, gateway: exactOptional(address) }))),
      routes: exactOptional(array(route)),
      dns: exactOptional(dns),
    }),
    runtimeConfig: exactOptional(looseObject({ ips: exactOptional(ips) })),
    args: exactOptional(looseObject({ cni: exactOptional(looseObject({ ips: exactOptional(ips) })) })),
  });
}

type Keys = InferOutput<ReturnType<typeof schema>>;

interface StaticAddress {
  readonly address: Prefix;
  readonly gateway: Address | undefined;
}

interface Config {
  readonly addresses: readonly StaticAddress[];
  readonly routes: readonly Route[];
  readonly dns: Dns;
}

/** Addresses written in the configuration or given by the runtime; nothing is kept anywhere, so there is nothing to release. */
export const staticIpam = definePlugin<Keys, Config>({
  type: "static",
  ipam: true,
  schema,
  resolve,

  add({ config }): Result {
    const routes = config.routes.length > 0 ? { routes: [...config.routes] } : {};
    return { ips: config.addresses.map(toIp), ...routes, dns: config.dns };
  },

  check({ config, prevResult, attachment }) {
    for (const expected of config.addresses) {
      const actual = (prevResult.ips ?? []).find((ip) => Prefix.tryParse(ip.address)?.equals(expected.address) === true);
      const name = `"${attachment.containerId}"/"${attachment.ifname}"`;
      if (actual === undefined) {
        const there = (prevResult.ips ?? []).map((ip) => ip.address).join(", ") || "none";
        throw new Error(`Cannot find address ${expected.address} of ${name} in prevResult: its addresses are ${there}`);
      }
      const gateway = actual.gateway === undefined ? undefined : Address.tryParse(actual.gateway);
      if (expected.gateway !== undefined && gateway?.equals(expected.gateway) !== true) {
        throw new Error(
          `Cannot match gateway of ${expected.address} of ${name}: expected ${expected.gateway}, prevResult has ${actual.gateway ?? "none"}`,
        );
      }
    }
  },

  del() {},
  gc() {},
  status() {},
});

function toIp({ address, gateway }: StaticAddress): IpConfig {
  return { address: address.toString(), ...(gateway === undefined ? {} : { gateway: gateway.toString() }) };
}

function resolve(keys: Keys, { args, command, cniVersion }: ConfigContext): Config {
  // DEL and GC have nothing to do, so no address can be wrong for them; STATUS and the others are told.
  const addresses = command === "DEL" || command === "GC" ? [] : resolveAddresses(keys, args);
  const families = new Set(addresses.map((entry) => entry.address.family));
  if (families.size < addresses.length && !atLeast(cniVersion, "0.3.0")) {
    throw new CniError(codes.invalidConfig, `CNI version ${cniVersion} does not support more than 1 address per family`);
  }
  return { addresses, routes: keys.ipam.routes ?? [], dns: keys.ipam.dns ?? {} };
}

/** The configured addresses with those of CNI_ARGS behind them; args replace all of these, runtimeConfig replaces all others. */
function resolveAddresses({ ipam, args: configArgs, runtimeConfig }: Keys, args: ConfigContext["args"]): StaticAddress[] {
  const configured = (ipam.addresses ?? []).map(({ address: text, gateway }) => {
    return { address: Prefix.parse(text), gateway: gateway === undefined ? undefined : Address.parse(gateway) };
  });
  const fromEnv = listOf(args.get("IP")).map((text) => ({ address: parseEnvAddress(text), gateway: undefined }));
  const envGateways = listOf(args.get("GATEWAY")).map(parseEnvGateway);
  const written = [...configured, ...fromEnv].map(({ address: prefix, gateway }) => {
    // the last one counts, as in the reference
    return { address: prefix, gateway: envGateways.findLast((each) => prefix.contains(each)) ?? gateway };
  });
  const given = [runtimeConfig?.ips, configArgs?.cni?.ips].find((list) => list !== undefined && list.length > 0);
  if (given === undefined) return written;
  return given.map((text) => {
    const prefix = Prefix.parse(text);
    return { address: prefix, gateway: envGateways.findLast((each) => prefix.contains(each)) ?? gatewayFor(prefix, configured) };
  });
}

/**
 * The gateway of the configured address in whose network `prefix` lies; the reference loses it. Only where it can be reached as well as
 * from the configured address: a shorter network may leave the gateway outside.
 */
function gatewayFor(prefix: Prefix, configured: readonly StaticAddress[]): Address | undefined {
  return configured.find(({ address: network, gateway }) => {
    return gateway !== undefined && network.contains(prefix.address) && prefix.contains(gateway) === network.contains(gateway);
  })?.gateway;
}

function listOf(text: string | undefined): string[] {
  return text === undefined || text === "" ? [] : text.split(",").map((item) => item.trim());
}

function parseEnvAddress(text: string): Prefix {
  const prefix = Prefix.tryParse(text);
  if (prefix === undefined) throw invalidArg("IP", text, "an address with the length of its network, as in 10.1.2.3/24");
  return prefix;
}

function parseEnvGateway(text: string): Address {
  const gateway = Address.tryParse(text);
  if (gateway === undefined) throw invalidArg("GATEWAY", text, "an IPv4 or IPv6 address");
  return gateway;
}

function invalidArg(key: string, text: string, expected: string): CniError {
  return new CniError(codes.invalidConfig, `${key} in CNI_ARGS is "${text}", expected ${expected}`);
}
