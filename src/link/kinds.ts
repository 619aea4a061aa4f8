import { NetlinkError } from "../netlink/acks.ts";
import { flags } from "../netlink/connection.ts";
import { linkMessage } from "../netlink/route/link.ts";
import { RTM } from "../netlink/route/message-types.ts";
import type { NetworkNamespace } from "./namespace.ts";

/** What a kernel needs for each kind of link that it may lack: the option it is built with, and the module of it. */
const requirements: Readonly<Record<string, { readonly option: string; readonly module: string }>> = {
  bridge: { option: "CONFIG_BRIDGE", module: "bridge" },
  dummy: { option: "CONFIG_DUMMY", module: "dummy" },
  ifb: { option: "CONFIG_IFB", module: "ifb" },
  ipvlan: { option: "CONFIG_IPVLAN", module: "ipvlan" },
  macvlan: { option: "CONFIG_MACVLAN", module: "macvlan" },
  tap: { option: "CONFIG_TUN", module: "tun" },
  veth: { option: "CONFIG_VETH", module: "veth" },
  vlan: { option: "CONFIG_VLAN_8021Q", module: "8021q" },
  vrf: { option: "CONFIG_NET_VRF", module: "vrf" },
};

/** This kernel has no links of that kind, and could not load a module for them either. */
export class MissingKindError extends Error {}

/**
 * Runs `work`, which creates a link of that kind.
 * @throws MissingKindError that names what to build or load; whatever else `work` throws
 */
export function creating<T>(kind: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof NetlinkError && isUnknownKind(error)) throw new MissingKindError(describe(kind), { cause: error });
    throw error;
  }
}

/** Before Linux 4.20 the refusal has no words; of a kind that there is, EOPNOTSUPP says that the request is not understood. */
function isUnknownKind({ code, kernelWords }: NetlinkError): boolean {
  return code === "EOPNOTSUPP" && (kernelWords === undefined || kernelWords === "Unknown device type");
}

function describe(kind: string): string {
  const { option = "?", module = kind } = requirements[kind] ?? {};
  return `this kernel has no links of kind ${kind}: it needs ${option}, or, built as a module, "modprobe ${module}"`;
}

/**
 * Asks the kernel whether it has links of a kind, by a request that it refuses in any case: a link with the address of a group, and
 * above no other. A kernel that has the kind as a module loads it on the way.
 * @throws MissingKindError
 */
export function requireKind({ netlink }: Pick<NetworkNamespace, "netlink">, kind: string): void {
  const body = linkMessage.encode({ name: "plprobe", address: "01:00:00:00:00:00", linkInfo: { kind } });
  try {
    netlink.change({ type: RTM.NEWLINK, flags: flags.CREATE | flags.EXCL, body });
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    if (isUnknownKind(error)) throw new MissingKindError(describe(kind), { cause: error });
  }
}
