import { readSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Attachment, Network } from "./network.ts";
import type { Container } from "./node.ts";
import { type Command, ended, start } from "./spawn.ts";

const program = fileURLToPath(new URL("./traffic-end.ts", import.meta.url));
const LONG_ENOUGH_MS = 500;

export const trafficKinds = ["masquerade connections", "masquerade stream", "host port connections", "host port stream"] as const;
export type TrafficKind = (typeof trafficKinds)[number];

/** Which of a node's addresses and ports lead to a container whose port 80 is mapped. */
interface Through {
  readonly network: Network;
  readonly attachment: Attachment;
  readonly hostPort: number;
}

/**
 * What goes through a node: from a container to the outside with the node's address, or from the outside to a host port of a container.
 * @returns new connections, or bytes, per second
 */
export function traffic(kind: TrafficKind, { network, attachment, hostPort }: Through): number {
  const { outside } = network.node;
  const what = kind.endsWith("stream") ? "stream" : "connections";
  const path = kind.startsWith("masquerade")
    ? { server: outside, listen: "5001", client: attachment.container, connect: "5001", address: "192.0.2.2" }
    : { server: attachment.container, listen: "80", client: outside, connect: String(hostPort), address: "192.0.2.1" };
  const server = path.server.inside(() => start(end("listen", path.listen, what)));
  try {
    readSync(server.outputs[0] ?? -1, Buffer.alloc(5)); // waits until it listens
    return ask(path.client, end("connect", path.connect, what, path.address, String(LONG_ENOUGH_MS)));
  } finally {
    process.kill(server.pid, "SIGKILL");
    ended([server]);
  }
}

function ask(client: Container, command: Command): number {
  const { status, stdout, stderr } = client.inside(() => ended([start(command)]).outcome);
  if (status !== 0) throw new Error(`Cannot measure traffic: ${stderr}`);
  return Number(stdout);
}

function end(...parameters: string[]): Command {
  const argv = ["--disable-warning=ExperimentalWarning", program, ...parameters];
  return { program: process.execPath, argv, env: {}, input: "" };
}
