import type { Plugin } from "../cni/plugin.ts";
import { bridge } from "./bridge.ts";
import { hostLocal } from "./host-local.ts";
import { loopback } from "./loopback.ts";
import { staticIpam } from "./static.ts";

/** The types a node calls for every container, whatever else its network has: these are in the script that the executable starts with. */
export const corePlugins: Readonly<Record<string, Plugin>> = {
  bridge,
  "host-local": hostLocal,
  loopback,
  static: staticIpam,
};
