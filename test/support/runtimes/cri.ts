import { setTimeout } from "node:timers/promises";
import { GrpcClient } from "./grpc.ts";
import { encode, type Message, Received } from "./protobuf.ts";

/** What a pod is asked for with. */
export interface PodWish {
  readonly name: string;
  /** Below which cgroup its containers are. */
  readonly cgroup: string;
  readonly ports?: readonly { readonly hostPort: number; readonly containerPort: number; readonly hostIp?: string }[];
  readonly annotations?: Readonly<Record<string, string>>;
}

/** A pod as containerd made it, with one container. */
export interface Pod {
  readonly id: string;
  readonly container: string;
  readonly addresses: readonly string[];
}

export interface Executed {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The Container Runtime Interface (k8s.io/cri-api, pkg/apis/runtime/v1/api.proto), as a kubelet uses it; numbers are those of the fields. */
export class Cri implements Disposable {
  readonly #client: GrpcClient;

  constructor(socket: string) {
    this.#client = new GrpcClient(socket, { service: "runtime.v1.RuntimeService" });
  }

  /** containerd listens before it knows what there is, and tells nobody when it does. */
  async initialized(): Promise<void> {
    for (;;) {
      try {
        await this.#call("Status", {});
        return;
      } catch (error) {
        if (!(error as Error).message.includes("server is not initialized yet")) throw error;
        await setTimeout(20);
      }
    }
  }

  /** Makes a pod and starts a container of `image` in it. */
  async run(wish: PodWish, { image, command }: { image: string; command: readonly string[] }): Promise<Pod> {
    const sandbox = sandboxConfig(wish);
    const id = await this.runSandbox(wish);
    const config = { 1: { 1: "main" }, 2: { 1: image }, 3: command, 15: {} };
    const container = (await this.#call("CreateContainer", { 1: id, 2: config, 3: sandbox })).text(1);
    await this.#call("StartContainer", { 1: container });
    return { id, container, addresses: await this.addresses(id) };
  }

  /** RunPodSandbox alone. @returns the sandbox's ID */
  async runSandbox(wish: PodWish): Promise<string> {
    return (await this.#call("RunPodSandbox", { 1: sandboxConfig(wish) })).text(1);
  }

  async addresses(id: string): Promise<string[]> {
    const network = (await this.#call("PodSandboxStatus", { 1: id })).message(1).message(5);
    return [network.text(1), ...network.messages(2).map((more) => more.text(1))].filter((address) => address !== "");
  }

  /** Runs a command in a container to its end. */
  async execute({ container }: Pod, ...command: readonly string[]): Promise<Executed> {
    const answer = await this.#call("ExecSync", { 1: container, 2: command, 3: 20 });
    return { exitCode: answer.number(3), stdout: answer.text(1), stderr: answer.text(2) };
  }

  async stop(id: string): Promise<void> {
    await this.#call("StopPodSandbox", { 1: id });
  }

  async remove(id: string): Promise<void> {
    await this.#call("RemovePodSandbox", { 1: id });
  }

  /** IDs of all sandboxes, stopped ones too. */
  async sandboxes(): Promise<string[]> {
    return (await this.#call("ListPodSandbox", {})).messages(1).map((sandbox) => sandbox.text(1));
  }

  /** The condition `NetworkReady`, by which a node is ready or not. */
  async networkReady(): Promise<{ ready: boolean; message: string }> {
    const conditions = (await this.#call("Status", {})).message(1).messages(1);
    const condition = conditions.find((one) => one.text(1) === "NetworkReady");
    return { ready: condition?.number(2) === 1, message: condition?.text(4) ?? "" };
  }

  async #call(method: string, message: Message): Promise<Received> {
    return new Received(await this.#client.call(method, encode(message)));
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }
}

function sandboxConfig({ name, cgroup, ports = [], annotations = {} }: PodWish): Message {
  return {
    1: { 1: name, 2: `uid-of-${name}`, 3: "default" },
    2: name,
    5: ports.map(({ hostPort, containerPort, hostIp }) => ({ 2: containerPort, 3: hostPort, 4: hostIp })),
    7: Object.entries(annotations).map(([key, value]) => ({ 1: key, 2: value })),
    8: { 1: cgroup },
  };
}
