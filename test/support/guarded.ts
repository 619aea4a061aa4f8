import type { Attached, AttachOptions, Bench } from "./attach.ts";
import { bridgeNetwork } from "./attach.ts";
import type { Answer, Json } from "./call-plugin.ts";

/** A container attached by a chain of bridge and firewall. */
export interface Guarded extends Attached {
  /** What the firewall's later calls are made with. */
  readonly firewall: Attached["who"];
  /** What the firewall's ADD said beside its result. */
  readonly stderr: string;
}

/** A network of type bridge by number: net1 on br1 with 10.91.0.0/24, net2 on br2 with 10.92.0.0/24, … */
export function numberedNetwork(number: number, more: Json = {}): Json & { readonly type: string } {
  const ranges = [[{ subnet: `10.9${number}.0.0/24` }], [{ subnet: `fd00:9${number}::/64` }]];
  const ipam = { type: "host-local", ranges };
  return bridgeNetwork({ name: `net${number}`, bridge: `br${number}`, isDefaultGateway: true, ipam, ...more });
}

/** Attaches a container; `keys` are the firewall's. */
export function attachGuarded(
  bench: Bench,
  network: Json & { readonly type: string },
  { keys = {}, ...options }: AttachOptions & { keys?: Json } = {},
): Guarded {
  const attached = bench.attach(network, options);
  const { name, cniVersion } = network;
  const config = { name, cniVersion, type: "firewall", ...keys, prevResult: attached.result };
  const firewall = { ...attached.who, type: "firewall", config };
  const { stderr } = bench.caller.succeed({ ...firewall, command: "ADD" });
  return { ...attached, firewall, stderr };
}

/** DEL of the whole chain, the firewall first, as a runtime does it. */
export function detachGuarded(bench: Bench, guarded: Guarded): Answer {
  const answer = bench.caller.succeed({ ...guarded.firewall, command: "DEL" });
  bench.detach(guarded);
  return answer;
}
