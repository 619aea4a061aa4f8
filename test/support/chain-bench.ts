import { expect } from "vitest";
import type { Result } from "../../src/cni/result.ts";
import { Bench } from "./attach.ts";
import type { Json } from "./call-plugin.ts";
import { leases, makeSandbox, nodeSnapshot, output, type Sandbox } from "./node.ts";

/** A network as a conflist has it. */
export interface ChainNetwork {
  readonly name: string;
  readonly plugins: readonly (Json & { readonly type: string })[];
}

export interface JoinOptions {
  readonly containerId?: string;
  readonly ifname?: string;
  readonly sandbox?: Sandbox;
  /** What a runtime hands to the plugins that declare the capability. */
  readonly capabilities?: Json;
  /** Of a plugin of somebody else's, before all of these. */
  readonly previous?: Result;
}

/** A container whom every plugin of a chain has attached. */
export interface Joined {
  readonly sandbox: Sandbox;
  /** Of the last plugin. */
  readonly result: Result;
  readonly network: ChainNetwork;
  readonly who: { readonly containerId: string; readonly ifname: string; readonly netns: string };
  readonly capabilities: Json;
  /** First address of each family, without length; "" where there is none. */
  readonly v4: string;
  readonly v6: string;
}

const CNI_VERSION = "1.1.0";

/** Routes to all the world, through whatever gateway IPAM names. */
export const everywhere: { dst: string }[] = [{ dst: "0.0.0.0/0" }, { dst: "::/0" }];

/** host-local with one range in each subnet. */
export function hostLocal(...subnets: readonly string[]): Json {
  return { type: "host-local", ranges: subnets.map((subnet) => [{ subnet }]) };
}

/** Calls chains of plugins in this process, in the order and with the results that libcni has. */
export class ChainBench extends Bench {
  #joined = 0;

  join(network: ChainNetwork, options: JoinOptions = {}): Joined {
    this.#joined++;
    const { containerId = `cid-${this.#joined}`, ifname = "eth0", sandbox = makeSandbox(), capabilities = {} } = options;
    const who = { containerId, ifname, netns: sandbox.path };
    let result = options.previous;
    for (const plugin of network.plugins) {
      const config = configOf(plugin, { network, capabilities, prevResult: result });
      result = this.caller.add({ ...who, type: plugin.type, config });
    }
    if (result === undefined) throw new Error(`network "${network.name}" has no plugins`);
    const { ips = [] } = result;
    const first = (v6: boolean) => ips.find(({ address }) => address.includes(":") === v6)?.address.split("/")[0] ?? "";
    return { sandbox, result, network, who, capabilities, v4: first(false), v6: first(true) };
  }

  check({ network, who, capabilities, result }: Joined): void {
    for (const plugin of network.plugins) {
      const config = configOf(plugin, { network, capabilities, prevResult: result });
      this.caller.succeed({ ...who, type: plugin.type, command: "CHECK", config });
    }
  }

  /** DEL, the last plugin first. @param options.forgotten the runtime has neither result nor namespace any more */
  leave({ network, who, capabilities, result }: Joined, options: { forgotten?: true } = {}): void {
    const { netns, ...ids } = who;
    for (const plugin of [...network.plugins].reverse()) {
      const config = configOf(plugin, { network, capabilities, prevResult: options.forgotten ? undefined : result });
      const call = { ...ids, type: plugin.type, command: "DEL", config };
      this.caller.succeed(options.forgotten ? call : { ...call, netns });
    }
  }

  /** GC with these attachments still valid. */
  collect(network: ChainNetwork, valid: readonly Joined[] = []): void {
    const list = valid.map(({ who }) => ({ containerID: who.containerId, ifname: who.ifname }));
    for (const plugin of network.plugins) {
      const config = { ...configOf(plugin, { network, capabilities: {} }), "cni.dev/valid-attachments": list };
      this.caller.succeed({ type: plugin.type, command: "GC", config });
    }
  }

  /**
   * Nothing stays of containers, in whatever way they go: with DEL, with one that has only their names or comes when the namespace is
   * gone, with GC.
   * @param attach makes one
   * @param options.inside its link is in the container alone, where without the namespace only the namespace's end takes it away
   */
  expectNoTrace(network: ChainNetwork, attach: () => Joined, options: { inside?: true } = {}): void {
    this.leave(attach());
    output("ip", "neighbour", "flush", "all"); // the node's memory of who has sent it packets
    const before = nodeSnapshot(); // with what belongs to the network
    const end = (joined: Joined) => options.inside && endNamespace(joined);
    const ways: readonly ((joined: Joined) => void)[] = [
      (joined) => this.leave(joined),
      (joined) => {
        this.leave(joined, { forgotten: true });
        end(joined);
      },
      (joined) => {
        end(joined);
        joined.sandbox[Symbol.dispose]();
        this.leave(joined);
      },
      (joined) => {
        this.collect(network);
        end(joined);
      },
    ];
    for (const [place, way] of ways.entries()) {
      const joined = attach();
      way(joined);
      this.leave(joined, { forgotten: true }); // once more
      output("ip", "neighbour", "flush", "all");
      expect(nodeSnapshot(), `way ${place}`).toEqual(before);
      expect(leases()).toEqual([]);
    }
  }
}

/** What the kernel does with the namespace, but at once: it takes its time, in which a VLAN, say, is not to be had again. */
function endNamespace({ sandbox, who }: Joined): void {
  sandbox.ip("link", "del", who.ifname);
}

function configOf(
  plugin: ChainNetwork["plugins"][number],
  parts: { network: ChainNetwork; capabilities: Json; prevResult?: Result | undefined },
): Json {
  const { network, capabilities, prevResult } = parts;
  const declared = Object.entries((plugin.capabilities ?? {}) as Record<string, boolean>);
  const handed = declared.flatMap(([name, wanted]) => (wanted && name in capabilities ? [[name, capabilities[name]]] : []));
  return {
    cniVersion: CNI_VERSION,
    name: network.name,
    ...plugin,
    ...(handed.length === 0 ? {} : { runtimeConfig: Object.fromEntries(handed) }),
    ...(prevResult === undefined ? {} : { prevResult }),
  };
}
