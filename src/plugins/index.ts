import type { Plugin } from "../cni/plugin.ts";
import { bridge } from "./bridge.ts";
import { hostLocal } from "./host-local.ts";
import { loopback } from "./loopback.ts";
import { staticIpam } from "./static.ts";

/** The registry: every plugin type there is, by the name it is called by. A new type is one more line here. */
export const plugins: Readonly<Record<string, Plugin>> = {
  bridge,
  "host-local": hostLocal,
  loopback,
  static: staticIpam,
};
