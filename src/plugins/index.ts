import type { Plugin } from "../cni/plugin.ts";
import { bandwidth } from "./bandwidth.ts";
import { corePlugins } from "./core.ts";
import { dummy } from "./dummy.ts";
import { firewall } from "./firewall.ts";
import { hostDevice } from "./host-device.ts";
import { ipvlan } from "./ipvlan.ts";
import { macvlan } from "./macvlan.ts";
import { podlink } from "./podlink.ts";
import { portmap } from "./portmap.ts";
import { ptp } from "./ptp.ts";
import { sbr } from "./sbr.ts";
import { tap } from "./tap.ts";
import { tuning } from "./tuning.ts";
import { vlan } from "./vlan.ts";
import { vrf } from "./vrf.ts";

/** The registry: every plugin type there is, by the name it is called by. A new type is one more line here. */
export const plugins: Readonly<Record<string, Plugin>> = {
  ...corePlugins,
  bandwidth,
  dummy,
  firewall,
  "host-device": hostDevice,
  ipvlan,
  macvlan,
  podlink,
  portmap,
  ptp,
  sbr,
  tap,
  tuning,
  vlan,
  vrf,
};
