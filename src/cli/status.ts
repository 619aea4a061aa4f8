import { statusNetwork } from "../runtime/chain.ts";
import { reaches } from "../runtime/spec-version.ts";
import type { Command } from "./command.ts";
import { findNetwork, openRuntime } from "./network.ts";

export const status: Command = {
  name: "status",
  summary: "Ask the plugins of a network whether they can attach containers; silent when they can",
  positionals: ["<network>", "[netns]"],
  options: {},
  notes: "The namespace is not looked at: cnitool demands one.",
  run({ positionals: [network = ""] }, shell) {
    const runtime = openRuntime(shell);
    const list = findNetwork(shell, network);
    if (!reaches(list.cniVersion, "1.1.0")) {
      runtime.warn(`network "${network}" has cniVersion ${list.cniVersion}, and STATUS came with 1.1.0: nobody was asked`);
    }
    statusNetwork(runtime, list);
  },
};
