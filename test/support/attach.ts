import { beforeAll, beforeEach } from "vitest";
import type { Result } from "../../src/cni/result.ts";
import { Caller, type Json, type PluginCall } from "./call-plugin.ts";
import { freshNode, hideMachineState, makeSandbox, type Sandbox, temporaryDirectory } from "./node.ts";

/** A container attached to a network. */
export interface Attached {
  readonly sandbox: Sandbox;
  readonly result: Result;
  /** What later calls of the attachment are made with; its configuration has the result as `prevResult`. */
  readonly who: Omit<PluginCall, "command">;
  /** First address of each family, without length. */
  readonly v4: string;
  readonly v6: string;
}

export interface AttachOptions {
  readonly containerId?: string;
  readonly ifname?: string;
  readonly args?: string;
  readonly sandbox?: Sandbox;
}

/** Plugins called in this process on a node of the test's own, which is made anew for each test. */
export class Bench {
  #caller: Caller | undefined;
  #count = 0;

  /** Call it where tests are declared. */
  constructor() {
    const directory = temporaryDirectory();
    beforeAll(() => {
      hideMachineState();
      this.#caller = new Caller(directory);
    });
    beforeEach(() => {
      freshNode();
      this.#count = 0;
    });
  }

  get caller(): Caller {
    if (this.#caller === undefined) throw new Error("There is no caller before the first test");
    return this.#caller;
  }

  /** Attaches a new container, or another interface of one that is there. */
  attach(config: Json & { readonly type: string }, options: AttachOptions = {}): Attached {
    this.#count++;
    const { sandbox = makeSandbox(), containerId = `cid-${this.#count}`, ...more } = options;
    const call = { type: config.type, containerId, netns: sandbox.path, ...more };
    const result = this.caller.add({ ...call, config });
    const first = (family: 4 | 6): string => {
      const ip = (result.ips ?? []).find(({ address }) => address.includes(":") === (family === 6));
      return ip?.address.split("/")[0] ?? "";
    };
    return { sandbox, result, who: { ...call, config: { ...config, prevResult: result } }, v4: first(4), v6: first(6) };
  }

  detach({ who }: Pick<Attached, "who">): void {
    this.caller.succeed({ ...who, command: "DEL" });
  }
}

/** A network of type bridge with addresses of both families; `more` replaces keys. */
export function bridgeNetwork(more: Json = {}): Json & { readonly type: string } {
  return {
    cniVersion: "1.1.0",
    name: "net1",
    type: "bridge",
    bridge: "br1",
    isGateway: true,
    ipam: { type: "host-local", ranges: [[{ subnet: "10.91.0.0/24" }], [{ subnet: "fd00:91::/64" }]] },
    ...more,
  };
}

/** The same with IPv4 addresses only. */
export function v4Network(more: Json = {}): Json & { readonly type: string } {
  return bridgeNetwork({ ipam: { type: "host-local", ranges: [[{ subnet: "10.91.0.0/24" }]] }, ...more });
}

/** The same without addresses. */
export function l2Network(more: Json = {}): Json & { readonly type: string } {
  return { cniVersion: "1.1.0", name: "wire", type: "bridge", bridge: "br1", ...more };
}

/** A network of type ptp with addresses of both families; `more` replaces keys. */
export function ptpNetwork(more: Json = {}): Json & { readonly type: string } {
  return {
    cniVersion: "1.1.0",
    name: "net1",
    type: "ptp",
    ipam: {
      type: "host-local",
      ranges: [[{ subnet: "10.91.0.0/24" }], [{ subnet: "fd00:91::/64" }]],
      routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }],
    },
    ...more,
  };
}
