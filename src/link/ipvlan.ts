import { createInside, type InsideLink } from "./inside.ts";
import type { Link } from "./links.ts";
import type { Sandbox } from "./namespace.ts";

/** Whether an ipvlan switches by the addresses it has, routes, or routes so that netfilter of the parent's namespace sees it. */
export const ipvlanModes = ["l2", "l3", "l3s"] as const;

export type IpvlanMode = (typeof ipvlanModes)[number];

export interface IpvlanWish extends Omit<InsideLink, "mac"> {
  readonly mode: IpvlanMode;
}

/** Creates a link of kind ipvlan in the container; it has its parent's MAC. @throws as createInside; NetlinkError EBUSY upon a macvlan's parent */
export function createIpvlan(sandbox: Sandbox, wish: IpvlanWish): void {
  const { mode } = wish;
  createInside(sandbox, wish, { kind: "ipvlan", data: { mode }, words: `ipvlan mode ${mode}` });
}

/** The mode of an ipvlan. All upon one parent have the same: the kernel changes that of the others to what the newest asks for. */
export function ipvlanMode({ kind, kindData }: Link): string | number | undefined {
  return kind === "ipvlan" && kindData !== undefined && "mode" in kindData ? kindData.mode : undefined;
}
