import type { Plugin } from "../cni/plugin.ts";
import { bridge } from "./bridge.ts";
import { dhcp } from "./dhcp.ts";
import { hostLocal } from "./host-local.ts";
import { loopback } from "./loopback.ts";
import { staticIpam } from "./static.ts";

/** The types a node calls for every container, whatever else its network has, and every IPAM: who delegates to one starts no process for it. */
export const corePlugins: Readonly<Record<string, Plugin>> = {
  bridge,
  dhcp,
  "host-local": hostLocal,
  loopback,
  static: staticIpam,
};
