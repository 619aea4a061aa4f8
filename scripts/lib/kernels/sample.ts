import type { Selection } from "./needing.ts";

/** Of each file the full names of what is tried on other kernels although every kernel can do it; vitest puts a ` > ` between titles. */
const chosen: Readonly<Record<string, string>> = {
  // killed at one change of each call, which the seed chooses
  "test/faults/kills-of-add.test.ts": "(bridge|podlink|ptp|portmap|host-device) .*ADD killed",
  "test/faults/kills.test.ts": "(bridge|podlink|ptp|portmap|host-device) .*(DEL|GC) killed",
  "test/faults/floods.test.ts": "type (podlink|bridge) ",
  "test/clients/cnitool.test.ts": "cnitool 1\\.3\\.0 .*what cnitool adds cnitool checks",
  "test/clients/chain.test.ts": "cnitool 1\\.3\\.0 .*the network podlink comes with",
  "test/clients/containerd-sid.test.ts": "containerd of sid .*(two pods reach|host ports lead|before a restart of the node)",
  "test/clients/podman.test.ts": "podman of .*(two containers reach|published ports)",
};

/** Calls killed at their changes, floods and container runtimes: a few of each, as an emulated machine is slow. */
export const sample: Selection = {
  files: Object.keys(chosen),
  only: new RegExp(`^(${Object.values(chosen).join("|")})`),
};
