import {
  array,
  boolean,
  exactOptional,
  type InferOutput,
  integer,
  maxValue,
  minValue,
  number,
  object,
  pipe,
  string,
} from "valibot";
import { podOf } from "../cni/args.ts";
import { CniError, codes, excerpt, unsupported } from "../cni/error.ts";
import type { ConfigContext } from "../cni/plugin.ts";
import { formatHostPort, type HostPort, hostPortProtocols, isLoopback, placesOf } from "../firewall/host-port.ts";
import type { HostPortsWish } from "../firewall/host-ports.ts";
import { Address } from "../ip/address.ts";

/** 0 is for a port that is not given; -1 and 65536 are refused here. */
const port = pipe(number(), integer(), minValue(0), maxValue(65535));

/** One mapping of the capability `portMappings`, as runtimes hand it in. */
export const portMapping = object({
  hostPort: exactOptional(port),
  containerPort: exactOptional(port),
  protocol: exactOptional(string()),
  hostIP: exactOptional(string()),
});

export type PortMapping = InferOutput<typeof portMapping>;

/** The keys of type `portmap`, as the reference has them. */
export function portmapSchema() {
  return object({
    backend: exactOptional(string()),
    snat: exactOptional(boolean()),
    masqAll: exactOptional(boolean()),
    markMasqBit: exactOptional(pipe(number(), integer())),
    externalSetMarkChain: exactOptional(string()),
    conditionsV4: exactOptional(array(string())),
    conditionsV6: exactOptional(array(string())),
    runtimeConfig: exactOptional(object({ portMappings: exactOptional(array(portMapping)) })),
  });
}

type PortmapKeys = InferOutput<ReturnType<typeof portmapSchema>>;

/** What the verbs of type `portmap` work with. */
export interface PortmapConfig {
  readonly ports: readonly HostPort[];
  readonly masquerade: HostPortsWish["masquerade"];
  /** The container reaches itself through Services too, whether it has ports or not. */
  readonly reachesItself: boolean;
  /** `namespace/name` */
  readonly pod: string | undefined;
  /** What was asked for and cannot be, a sentence each. */
  readonly shortcomings: readonly string[];
}

/** @throws CniError 2 for keys that only iptables can serve, 7 for mappings that cannot be */
export function resolvePortmap(keys: PortmapKeys, { args, command }: ConfigContext): PortmapConfig {
  const masquerade = keys.snat === false ? "nobody" : keys.masqAll === true ? "everybody" : "neighbours";
  const pod = podOf(args);
  const mappings = keys.runtimeConfig?.portMappings ?? [];
  // What was refused at ADD must still go away
  if (command === "DEL" || command === "GC") {
    return { ports: readablePorts(mappings), masquerade, reachesItself: false, pod, shortcomings: [] };
  }
  const { backend = "" } = keys;
  if (!["", "iptables", "nftables"].includes(backend)) {
    throw invalid(`unrecognized backend ${excerpt(backend)}`, '"iptables" and "nftables" are both served by nf_tables');
  }
  refuseIptables(keys);
  return { ...resolvePorts(mappings), masquerade, reachesItself: false, pod };
}

/**
 * Reads the mappings of the capability `portMappings`.
 * @throws CniError 7
 */
export function resolvePorts(mappings: readonly PortMapping[]): Pick<PortmapConfig, "ports" | "shortcomings"> {
  const ports: HostPort[] = [];
  const shortcomings: string[] = [];
  const byPlace = new Map<string, HostPort>();
  for (const mapping of mappings) {
    if ((mapping.hostPort ?? 0) === 0) continue; // a container's port that is not to be mapped
    const wanted = readMapping(mapping);
    if (wanted.hostAddress?.family === 6 && isLoopback(wanted.hostAddress)) {
      shortcomings.push(`nothing is mapped at ${formatHostPort(wanted)}: the kernel leads nothing from there to a container`);
      continue;
    }
    for (const place of placesOf(wanted)) {
      const other = byPlace.get(place);
      if (other !== undefined && other.containerPort !== wanted.containerPort) {
        const both = `container ports ${other.containerPort} and ${wanted.containerPort}`;
        throw invalid(`host port ${formatHostPort(wanted)} cannot lead to ${both}`, '"portMappings" has it twice');
      }
      byPlace.set(place, wanted);
    }
    ports.push(wanted);
  }
  return { ports, shortcomings };
}

/** Those of a call that must not fail. */
function readablePorts(mappings: readonly PortMapping[]): PortmapConfig["ports"] {
  try {
    return resolvePorts(mappings).ports;
  } catch {
    return []; // none was mapped
  }
}

function readMapping(mapping: PortMapping): HostPort {
  const { hostPort = 0, containerPort = 0, protocol: name = "", hostIP = "" } = mapping;
  const lower = name === "" ? "tcp" : name.toLowerCase();
  const protocol = hostPortProtocols.find((each) => each === lower);
  if (protocol === undefined) {
    throw invalid(`"protocol" of host port ${hostPort} is ${excerpt(name)}`, `expected one of ${hostPortProtocols.join(", ")}`);
  }
  if (containerPort === 0) throw invalid(`Invalid container port number: 0, for host port ${hostPort}`, "expected 1 to 65535");
  const common = { protocol, hostPort, containerPort };
  if (hostIP === "") return { ...common, hostAddress: undefined, families: [4, 6] };
  const hostAddress = Address.tryParse(hostIP);
  if (hostAddress === undefined) {
    throw invalid(`"hostIP" of host port ${hostPort} is ${excerpt(hostIP)}`, "expected an IPv4 or IPv6 address");
  }
  const isEvery = hostAddress.value === 0n; // 0.0.0.0 or ::
  return { ...common, hostAddress: isEvery ? undefined : hostAddress, families: [hostAddress.family] };
}

/** Keys that would be rules of iptables, or of the reference's own chains: nothing of ours could obey them. */
function refuseIptables(keys: PortmapKeys): void {
  const wayOut: [key: keyof PortmapKeys, instead: string][] = [
    [
      "externalSetMarkChain",
      'leave it out: connections that need masquerading are known by a set; "masqAll" masquerades all of them',
    ],
    ["markMasqBit", "leave it out: no bit of the packets' mark is used"],
    ["conditionsV4", 'limit a mapping to an address of the node by its "hostIP", or clients by a filter rule of your own'],
    ["conditionsV6", 'limit a mapping to an address of the node by its "hostIP", or clients by a filter rule of your own'],
  ];
  for (const [key, instead] of wayOut) {
    const value = keys[key];
    const isSet =
      typeof value === "number" ||
      (typeof value === "object" && "length" in value ? value.length > 0 : value !== undefined && value !== "");
    if (isSet) throw unsupported(key, value, instead);
  }
}

function invalid(why: string, details: string): CniError {
  return new CniError(codes.invalidConfig, `Cannot use network configuration: ${why}`, { details });
}
