import { DynamicLibrary } from "node:ffi";
import { closeSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

type Json = Record<string, unknown>;

/** A network configuration list. */
export interface Network {
  readonly name: string;
  readonly cniVersion: string;
  readonly plugins: readonly (Json & { readonly type: string; readonly capabilities?: Json })[];
}

export interface Container {
  readonly id: string;
  readonly netns: string;
}

/** Answers a call of a plugin type with this environment; its input and output are descriptors 0 and 1, as for any process. */
export type Answer = (type: string, env: Readonly<Record<string, string>>) => void;

/** What is handed in where a plugin says it takes it. */
const capabilities: Json = {
  portMappings: [
    { hostPort: 8080, containerPort: 80, protocol: "tcp" },
    { hostPort: 8053, containerPort: 53, protocol: "udp" },
  ],
  bandwidth: { ingressRate: 1_000_000, ingressBurst: 1_000_000, egressRate: 1_000_000, egressBurst: 1_000_000 },
};

/** Calls the plugins of a network as libcni does. */
export class Runtime {
  readonly #answer: Answer;
  readonly #bin: string;
  readonly #input: string;
  readonly #output: string;
  readonly #library = new DynamicLibrary(null);
  readonly #dup2 = this.#library.getFunction("dup2", { return: "i32", arguments: ["i32", "i32"] });
  readonly #stdout = this.#library.getFunction("dup", { return: "i32", arguments: ["i32"] })(1);

  /** @param options.bin CNI_PATH. @param options.scratch for files of ours */
  constructor(answer: Answer, options: { bin: string; scratch: string }) {
    this.#answer = answer;
    this.#bin = options.bin;
    this.#input = join(options.scratch, "input");
    this.#output = join(options.scratch, "output");
  }

  /** @returns the result, as far as the plugins got */
  add(network: Network, container: Container): Json | undefined {
    let prevResult: Json | undefined;
    for (const plugin of network.plugins) {
      const result = this.#call("ADD", { network, plugin, container, prevResult });
      if (result === undefined || "code" in result) break;
      prevResult = result;
    }
    return prevResult;
  }

  del(network: Network, container: Container, prevResult: Json | undefined): void {
    for (const plugin of network.plugins.toReversed()) this.#call("DEL", { network, plugin, container, prevResult });
  }

  version(network: Network): void {
    const container: Container = { id: "", netns: "" };
    for (const plugin of network.plugins) this.#call("VERSION", { network, plugin, container, prevResult: undefined });
  }

  #call(
    command: string,
    call: { network: Network; plugin: Network["plugins"][number]; container: Container; prevResult: Json | undefined },
  ): Json | undefined {
    const { container, network, prevResult } = call;
    const { capabilities: wanted = {}, ...plugin } = call.plugin;
    const runtimeConfig = Object.fromEntries(Object.keys(wanted).map((key) => [key, capabilities[key]]));
    const { cniVersion, name } = network;
    writeFileSync(this.#input, JSON.stringify({ cniVersion, name, ...plugin, prevResult, runtimeConfig }));
    this.#redirect(this.#input, { flags: "r", to: 0 });
    this.#redirect(this.#output, { flags: "w", to: 1 });
    try {
      this.#answer(plugin.type, {
        CNI_COMMAND: command,
        CNI_CONTAINERID: container.id,
        CNI_NETNS: container.netns,
        CNI_IFNAME: "eth0",
        CNI_PATH: this.#bin,
        CNI_ARGS: "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=pod",
      });
    } finally {
      this.#dup2(this.#stdout, 1);
    }
    const text = readFileSync(this.#output, "utf8");
    return text === "" ? undefined : JSON.parse(text);
  }

  #redirect(path: string, { flags, to }: { flags: string; to: number }): void {
    const fd = openSync(path, flags);
    this.#dup2(fd, to);
    closeSync(fd);
  }
}
