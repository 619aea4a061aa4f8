import { array, boolean, type InferOutput, minValue, object, optional, pipe } from "valibot";
import { address, uint32 } from "../cni/config.ts";
import { CniError, codes } from "../cni/error.ts";
import type { ConfigContext } from "../cni/plugin.ts";
import { Address, type Family } from "../ip/address.ts";

/** The keys of type `sbr`, as the reference has them. */
export function sbrSchema() {
  return object({
    table: optional(pipe(uint32, minValue(1))),
    gateways: optional(array(address)),
    addSourceHints: optional(boolean()),
  });
}

type Keys = InferOutput<ReturnType<typeof sbrSchema>>;

/** What the verbs of type `sbr` work with. */
export interface SbrConfig {
  /** Where the rules lead; undefined: to a table for each address. */
  readonly table: number | undefined;
  /** By family: where the default routes of the tables lead, instead of the gateways that IPAM gave. */
  readonly gateways: Readonly<Partial<Record<Family, Address>>>;
  readonly addSourceHints: boolean;
}

/** @throws CniError 7 for two gateways of one family, unless it is to clear away */
export function resolveSbr({ table, gateways = [], addSourceHints = false }: Keys, { command }: ConfigContext): SbrConfig {
  // What was refused at ADD must still go away
  if (command === "DEL" || command === "GC") return { table, gateways: {}, addSourceHints };
  const byFamily: Partial<Record<Family, Address>> = {};
  for (const text of gateways) {
    const gateway = Address.parse(text);
    if (byFamily[gateway.family] !== undefined) throw tooMany(gateways);
    byFamily[gateway.family] = gateway;
  }
  return { table, gateways: byFamily, addSourceHints };
}

function tooMany(gateways: readonly string[]): CniError {
  const msg = "gateways list cannot contain more than 2 entries (one IPv4, one IPv6)";
  return new CniError(codes.invalidConfig, msg, { details: `"gateways" is ${JSON.stringify(gateways)}` });
}
