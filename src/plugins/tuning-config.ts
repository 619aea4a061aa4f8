import { boolean, type InferOutput, looseObject, object, optional, record, string } from "valibot";
import { type Args, macOf } from "../cni/args.ts";
import { mac, path, uint32 } from "../cni/config.ts";
import type { ConfigContext } from "../cni/plugin.ts";
import { normalizeMac } from "../ip/mac.ts";
import type { LinkSettings } from "../link/settings.ts";
import { resolveSysctls, type Sysctls } from "./sysctl-config.ts";

const DEFAULT_DATA_DIRECTORY = "/run/cni/tuning";

function changes() {
  return {
    sysctl: optional(record(string(), string())),
    mac: optional(mac),
    promisc: optional(boolean()),
    mtu: optional(uint32),
    allmulti: optional(boolean()),
    txQLen: optional(uint32),
  };
}

/** The keys of type `tuning`, as the reference has them. */
export function tuningSchema() {
  return object({
    ...changes(),
    dataDir: optional(path),
    runtimeConfig: optional(looseObject({ mac: optional(mac) })),
    args: optional(looseObject({ cni: optional(looseObject(changes())) })),
  });
}

type TuningKeys = InferOutput<ReturnType<typeof tuningSchema>>;

/** What the verbs of type `tuning` work with. */
export interface TuningConfig {
  /** Where backups are kept. */
  readonly dataDir: string;
  readonly sysctls: Sysctls;
  /** What the interface shall have; what is absent stays as it is. */
  readonly settings: Partial<LinkSettings>;
}

/** @throws CniError 7 for keys that name no sysctl of the network, or one twice; 4 for a MAC in CNI_ARGS that is none */
export function resolveTuning(keys: TuningKeys, context: ConfigContext): TuningConfig {
  const dataDir = keys.dataDir === undefined || keys.dataDir === "" ? DEFAULT_DATA_DIRECTORY : keys.dataDir;
  // What was refused at ADD must still go away
  if (context.command === "DEL" || context.command === "GC") return { dataDir, sysctls: () => [], settings: {} };
  return {
    dataDir,
    sysctls: resolveSysctls({ own: keys.sysctl ?? {}, overriding: keys.args?.cni?.sysctl ?? {} }, context),
    settings: resolveSettings(keys, context.args),
  };
}

/** `args` before the runtime's MAC, that before the one of CNI_ARGS, and the configuration's own last, as in the reference. */
function resolveSettings(keys: TuningKeys, args: Args): Partial<LinkSettings> {
  const given = keys.args?.cni ?? {};
  const wantedMac = given.mac ?? keys.runtimeConfig?.mac ?? macOf(args) ?? keys.mac;
  const promisc = given.promisc ?? keys.promisc;
  const mtu = given.mtu ?? keys.mtu;
  const allmulti = given.allmulti ?? keys.allmulti;
  const txQLen = given.txQLen ?? keys.txQLen;
  return {
    ...(wantedMac === undefined ? {} : { mac: normalizeMac(wantedMac) }),
    ...(promisc === true ? { promisc } : {}), // false is the reference's "not asked for"
    ...(mtu === undefined || mtu === 0 ? {} : { mtu }),
    ...(allmulti === undefined ? {} : { allmulti }),
    ...(txQLen === undefined ? {} : { txQLen }),
  };
}
