import { readFileSync } from "node:fs";
import { type Attached, type AttachOptions, Bench, bridgeNetwork } from "./attach.ts";
import type { Answer, Json, PluginCall, PluginError } from "./call-plugin.ts";
import { output, type Sandbox } from "./node.ts";
import { ask, type Protocol, serve } from "./talk.ts";

/** How long to wait for what shall not come. */
export const SILENCE_MS = 400;

export interface Mapping {
  readonly hostPort: number;
  /** 80 unless given. */
  readonly containerPort?: number;
  /** tcp unless given. */
  readonly protocol?: string;
  readonly hostIP?: string;
}

export interface Mapped extends Attached {
  /** What calls of type portmap are made with. */
  readonly portmap: Omit<PluginCall, "command" | "config"> & { readonly config: Json };
  readonly answer: Answer;
}

interface MapOptions extends AttachOptions {
  /** Keys of type bridge, and of type portmap. */
  readonly bridge?: Json;
  readonly portmap?: Json;
}

/** Containers on a bridge whose ports are mapped. */
export class PortBench extends Bench {
  /** An attached container and the call that maps its ports. */
  prepare(ports: readonly Mapping[], { bridge, portmap, ...options }: MapOptions = {}): Omit<Mapped, "answer"> {
    const attached = this.attach(bridgeNetwork({ isDefaultGateway: true, ...bridge }), options);
    const { config, ...who } = attached.who;
    const { name, cniVersion } = config as Json;
    const own = { cniVersion, name, type: "portmap", ...asked(ports), prevResult: attached.result, ...portmap };
    return { ...attached, portmap: { ...who, type: "portmap", config: own } };
  }

  map(ports: readonly Mapping[], options: MapOptions = {}): Mapped {
    const prepared = this.prepare(ports, options);
    return { ...prepared, answer: this.caller.succeed({ ...prepared.portmap, command: "ADD" }) };
  }

  /** Tries the same, which must fail. */
  refused(ports: readonly Mapping[], options: MapOptions = {}): PluginError {
    const prepared = this.prepare(ports, options);
    const error = this.caller.fail({ ...prepared.portmap, command: "ADD" });
    this.detach(prepared);
    return error;
  }

  unmap({ portmap }: Pick<Mapped, "portmap">): Answer {
    return this.caller.succeed({ ...portmap, command: "DEL" });
  }

  check({ portmap }: Pick<Mapped, "portmap">): Answer {
    return this.caller.call({ ...portmap, command: "CHECK" });
  }
}

/** The mappings as a runtime hands them in. */
export function asked(ports: readonly Mapping[]): Json {
  return { runtimeConfig: { portMappings: ports.map((port) => ({ containerPort: 80, protocol: "tcp", ...port })) } };
}

/** Runs what talks on the node itself. */
export const node = <T>(work: () => T): T => work();

export function inside(sandbox: Sandbox): typeof node {
  return sandbox.run.bind(sandbox);
}

/** Answers in a container, over tcp in both families and over udp in IPv4. */
export async function answerAs(name: string, sandbox: Sandbox, port = 80): Promise<void> {
  await serve(inside(sandbox), { protocol: "tcp", address: "::", port, name });
  await serve(inside(sandbox), { protocol: "udp", address: "0.0.0.0", port, name });
}

/** What the server says; it is asked at port 8080 unless told otherwise. @param options.silent nobody is expected to answer */
export function reach(
  from: Sandbox | typeof node,
  address: string,
  options: { port?: number; protocol?: Protocol; silent?: true } = {},
): string | undefined {
  const { port = 8080, protocol = "tcp", silent = false } = options;
  const run = typeof from === "function" ? from : inside(from);
  const answer = ask(run, { protocol, address, port, patienceMs: silent ? SILENCE_MS : 3000 });
  return answer?.replace("::ffff:", ""); // as sockets of both families see IPv4 clients
}

/** `nft list map inet podlink <name>` */
export function elements(name: string, kind: "map" | "set" = "map"): string {
  return output("nft", "list", kind, "inet", "podlink", name);
}

export function sysctl(key: string): string {
  return readFileSync(`/proc/sys/${key}`, "utf8").trim();
}
