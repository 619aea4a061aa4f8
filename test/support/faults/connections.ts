import type { Json } from "../call-plugin.ts";
import { output } from "../node.ts";

/** The port of a client who sent before a container was there. What became of his connection is nobody's business but the kernel's. */
export const EARLY_CLIENT = 5001;
const LATER_CLIENT = 5002;

/** Makes the kernel know of clients of the host ports that a configuration maps: of the node itself, or those who got to a container. */
export function pretendClients(config: Json, which: "early" | "later"): void {
  for (const { hostport, containerport, protocol } of datagramPorts(config)) {
    const [port, answering, from] =
      which === "early" ? [EARLY_CLIENT, hostport, "127.0.0.1"] : [LATER_CLIENT, containerport, addressIn(config)];
    const request = ["-s", "127.0.0.1", "-d", "127.0.0.1", "--sport", port, "--dport", hostport];
    const reply = ["-r", from, "-q", "127.0.0.1", "--reply-port-src", answering, "--reply-port-dst", port];
    output("conntrack", "-I", "-p", String(protocol), "-t", "600", ...[...request, ...reply].map(String));
  }
}

/** Port mappings of UDP, which alone outlive what they were made by. */
function datagramPorts({ runtimeConfig }: Json): Json[] {
  const { portMappings = [] } = (runtimeConfig ?? {}) as { portMappings?: readonly Json[] };
  const lowered = portMappings.map((mapping) =>
    Object.fromEntries(Object.entries(mapping).map(([key, value]) => [key.toLowerCase(), value])),
  );
  return lowered
    .map((mapping) => ({ ...mapping, protocol: String(mapping.protocol).toLowerCase() }))
    .filter(({ protocol }) => protocol === "udp");
}

/** The container's IPv4 address. */
function addressIn({ prevResult }: Json): string {
  const { ips = [] } = (prevResult ?? {}) as { ips?: readonly { readonly address: string }[] };
  return ips.map(({ address }) => address.split("/")[0] ?? "").find((address) => !address.includes(":")) ?? "";
}
