import { formatMac } from "../ip/mac.ts";
import { shellWord } from "../support/shell-word.ts";
import { createLink } from "./links.ts";
import type { Sandbox } from "./namespace.ts";

/** Both ends of a veth pair as they shall be. One queue per end spares two RCU waits of the kernel and loses nothing: veth never needs more. */
export interface VethPair {
  readonly host: {
    readonly name: string;
    readonly mac: string;
    readonly master?: { readonly name: string; readonly index: number };
  };
  readonly container: { readonly name: string; readonly mac: string };
  /** 0: the kernel's default. */
  readonly mtu: number;
}

/**
 * Creates the pair in one request, each end in its place with its final name and MAC, the host end attached to its master.
 * @throws NetlinkError EEXIST when either name is taken
 */
export function createVeth(sandbox: Sandbox, pair: VethPair): void {
  const { host, container } = pair;
  const mtu = pair.mtu === 0 ? {} : { mtu: pair.mtu };
  const oneQueue = { txQueues: 1, rxQueues: 1 };
  const mtuWords = pair.mtu === 0 ? "" : ` mtu ${pair.mtu}`;
  const queueWords = "numtxqueues 1 numrxqueues 1";
  const words = [
    `ip link add ${shellWord(host.name)} address ${host.mac}${mtuWords} ${queueWords}`,
    ...(host.master === undefined ? [] : [`master ${shellWord(host.master.name)}`]),
    `type veth peer name ${shellWord(container.name)} address ${container.mac}${mtuWords} ${queueWords}`,
    `netns ${shellWord(sandbox.container.path)}`,
  ];
  createLink(sandbox.host, words.join(" "), {
    name: host.name,
    address: host.mac,
    ...mtu,
    ...oneQueue,
    ...(host.master === undefined ? {} : { master: host.master.index }),
    linkInfo: {
      kind: "veth",
      data: { peer: { name: container.name, address: container.mac, ...mtu, ...oneQueue, netnsFd: sandbox.container.fd } },
    },
  });
}

/** A random MAC that is locally administered and unicast (IEEE 802 bits 1 and 0 of the first byte). */
export function randomMac(): string {
  const bytes = Uint8Array.from({ length: 6 }, () => Math.floor(Math.random() * 256));
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
  return formatMac(bytes);
}
