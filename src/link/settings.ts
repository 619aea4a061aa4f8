import { IFF, type LinkMessage } from "../netlink/route/link.ts";
import { type Link, setLink } from "./links.ts";
import type { NetworkNamespace } from "./namespace.ts";

/** What can be changed of a link that is there and up, by the names that configurations have for it. */
export interface LinkSettings {
  /** Lower-case, colon separated. */
  readonly mac: string;
  readonly promisc: boolean;
  readonly mtu: number;
  readonly allmulti: boolean;
  readonly txQLen: number;
}

export type SettingName = keyof LinkSettings;

/** In the order in which they are set. */
export const settingNames = ["mac", "promisc", "mtu", "allmulti", "txQLen"] as const satisfies readonly SettingName[];

/** Those of a link as it is. */
export function settingsOf(link: Link): LinkSettings {
  const { mac, promiscuous, mtu, allMulticast, txQueueLength } = link;
  return { mac, promisc: promiscuous, mtu, allmulti: allMulticast, txQLen: txQueueLength };
}

interface Change {
  /** What `ip link set <name>` would be told. */
  readonly command: string;
  readonly message: Partial<LinkMessage>;
}

const changes: { readonly [K in SettingName]: (value: LinkSettings[K]) => Change } = {
  // Where arp_notify and ndisc_notify are set the kernel announces the new address by itself (announce.ts)
  mac: (address) => ({ command: `address ${address}`, message: { address } }),
  promisc: (on) => ({ command: `promisc ${word(on)}`, message: { flags: on ? IFF.PROMISC : 0, change: IFF.PROMISC } }),
  mtu: (mtu) => ({ command: `mtu ${mtu}`, message: { mtu } }),
  allmulti: (on) => ({ command: `allmulticast ${word(on)}`, message: { flags: on ? IFF.ALLMULTI : 0, change: IFF.ALLMULTI } }),
  txQLen: (txQueueLength) => ({ command: `txqueuelen ${txQueueLength}`, message: { txQueueLength } }),
};

function word(on: boolean): string {
  return on ? "on" : "off";
}

/** Sets the one of that name, if it is among `settings` and the link does not have it so already. */
export function applySetting<K extends SettingName>(
  namespace: NetworkNamespace,
  link: Link,
  { name, settings }: { readonly name: K; readonly settings: Partial<LinkSettings> },
): void {
  const value = settings[name];
  if (value === undefined || settingsOf(link)[name] === value) return;
  setLink(namespace, link, changes[name](value));
}
