import { createInside, type InsideLink } from "./inside.ts";
import type { Link } from "./links.ts";
import type { Sandbox } from "./namespace.ts";

export interface VlanWish extends Omit<InsideLink, "mac"> {
  /** 0..4094. */
  readonly id: number;
}

/**
 * Creates a link of kind vlan (802.1Q) in the container: what it sends leaves its parent with a tag.
 * @throws as createInside; NetlinkError EEXIST also when the parent has that VLAN already, in whatever namespace
 */
export function createVlan(sandbox: Sandbox, wish: VlanWish): void {
  const { id } = wish;
  createInside(sandbox, wish, { kind: "vlan", data: { id }, words: `vlan id ${id}` });
}

export function vlanId({ kind, kindData }: Link): number | undefined {
  return kind === "vlan" && kindData !== undefined && "id" in kindData ? kindData.id : undefined;
}
