import { writeFileSync } from "node:fs";
import { onTestFinished } from "vitest";
import { getLink, type Link } from "../../src/link/links.ts";
import { NetworkNamespace, Sandbox } from "../../src/link/namespace.ts";
import { createVeth, randomMac } from "../../src/link/veth.ts";
import { Steps } from "../../src/support/steps.ts";
import { becomeHost, makeContainer } from "./namespaces.ts";
import { output } from "./node.ts";

/** A node with nothing on it, and the record of what is done to it. */
export interface Stage {
  readonly host: NetworkNamespace;
  readonly steps: Steps;
  /** Commands recorded so far. */
  commands(): string[];
}

/** Moves this process into an empty network namespace, opened for the length of the test. */
export function makeStage(): Stage {
  becomeHost();
  const steps = new Steps();
  const host = NetworkNamespace.host(steps);
  onTestFinished(() => host[Symbol.dispose]());
  return { host, steps, commands: () => steps.list.map(({ command }) => command) };
}

/** A container beside the stage's host: its path, and both namespaces opened for the length of the test. */
export function addContainer({ steps }: Stage): Sandbox & { readonly path: string } {
  const path = makeContainer();
  const sandbox = Sandbox.open(path, steps);
  onTestFinished(() => sandbox[Symbol.dispose]());
  return Object.assign(sandbox, { path });
}

/** A veth pair from the host to a container's `eth0`. */
export function connectVeth(
  sandbox: Sandbox,
  name: string,
  options: { master?: Link; mac?: string } = {},
): { outer: Link; inner: Link } {
  const { master, mac = randomMac() } = options;
  createVeth(sandbox, {
    host: { name, mac: randomMac(), ...(master === undefined ? {} : { master }) },
    container: { name: "eth0", mac },
    mtu: 0,
  });
  return { outer: getLink(sandbox.host, name), inner: getLink(sandbox.container, "eth0") };
}

/** A veth pair with both ends in one namespace, as something to work on. */
export function makePair(namespace: NetworkNamespace, name: string): Link {
  namespace.inside(() => output("ip", "link", "add", name, "up", "type", "veth", "peer", "name", `${name}p`));
  namespace.inside(() => output("ip", "link", "set", `${name}p`, "up"));
  return getLink(namespace, name);
}

/** Writes `net/…` in the namespace this thread stands in. */
export function givenSysctls(values: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(values)) writeFileSync(`/proc/sys/${key}`, value);
}
