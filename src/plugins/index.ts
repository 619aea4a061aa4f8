import type { Plugin } from "../cni/plugin.ts";
import { bandwidth } from "./bandwidth.ts";
import { corePlugins } from "./core.ts";
import { firewall } from "./firewall.ts";
import { podlink } from "./podlink.ts";
import { portmap } from "./portmap.ts";
import { tuning } from "./tuning.ts";

/** The registry: every plugin type there is, by the name it is called by. A new type is one more line here. */
export const plugins: Readonly<Record<string, Plugin>> = {
  ...corePlugins,
  bandwidth,
  firewall,
  podlink,
  portmap,
  tuning,
};
