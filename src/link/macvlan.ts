import { createInside, type InsideLink } from "./inside.ts";
import { getLink, type Link, setLink } from "./links.ts";
import type { Sandbox } from "./namespace.ts";

/** How a macvlan sees the others upon its parent: as a bridge's ports see each other, not at all, only by way of the switch, or alone. */
export const macvlanModes = ["bridge", "private", "vepa", "passthru"] as const;

export type MacvlanMode = (typeof macvlanModes)[number];

export interface MacvlanWish extends InsideLink {
  readonly mode: MacvlanMode;
  /** Packets to everybody that may wait for being handed out; 0: the kernel's default (1000). Linux 5.10 and older have no such setting. */
  readonly bcQueueLength: number;
}

/** Creates a link of kind macvlan in the container. @throws as createInside; NetlinkError EINVAL where the parent is another's alone */
export function createMacvlan(sandbox: Sandbox, wish: MacvlanWish): void {
  const { bcQueueLength, mac, mode, name } = wish;
  const asked = bcQueueLength !== 0;
  createInside(sandbox, wish, {
    kind: "macvlan",
    data: { mode, bcQueueLength: asked ? bcQueueLength : undefined },
    words: `macvlan mode ${mode}${asked ? ` bcqueuelen ${bcQueueLength}` : ""}`,
  });
  if (mode !== "passthru" || mac === undefined) return;
  // Such a link takes its parent's MAC, whatever was asked for; told later, it passes its own on to the parent, until it goes
  const link = getLink(sandbox.container, name);
  if (link.mac !== mac) setLink(sandbox.container, link, { command: `address ${mac}`, message: { address: mac } });
}

/** The mode of a macvlan; a number where it is none of those known. */
export function macvlanMode({ kind, kindData }: Link): string | number | undefined {
  return kind === "macvlan" && kindData !== undefined && "mode" in kindData ? kindData.mode : undefined;
}
