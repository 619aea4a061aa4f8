import { basename } from "node:path";
import { CniError, codes } from "../cni/error.ts";
import { gcNetwork } from "../runtime/chain.ts";
import { Steps } from "../support/steps.ts";
import { isNetns } from "../sys/netns.ts";
import type { Command } from "./command.ts";
import { explained, explainOption } from "./explain.ts";
import { findNetwork, openRuntime } from "./network.ts";

export const gc: Command = {
  name: "gc",
  summary: "Clear what containers that are gone left in a network",
  positionals: ["<network>", "[netns]"],
  options: {
    all: { text: "detach every remembered container of the network, gone or not (cnitool's gc)" },
    explain: explainOption,
  },
  notes: [
    "Attachments whose namespace is gone are deleted; the others are handed to the plugins as the ones to keep.",
    "Only attachments remembered below /var/lib/cni/results count, whichever runtime added them.",
    "The namespace is not looked at: cnitool demands one.",
  ].join("\n"),
  run({ positionals: [network = ""], switches }, shell) {
    const steps = new Steps();
    explained({ switches, shell, steps }, (explainedShell) => {
      const runtime = openRuntime(explainedShell, steps);
      const list = findNetwork(explainedShell, network);
      if (list.disableGC) runtime.warn(`network "${network}" sets disableGC: nothing was collected`);
      const all = switches.has("all");
      const unreadable = (file: string) => {
        if (!all && basename(file).startsWith(`${network}-`)) throw doubtful(network, file);
        runtime.warn(`"${file}" is no cached result: ignored`);
      };
      const live = runtime.cache
        .list(unreadable)
        .filter((one) => one.network === network && (one.netns === undefined || isNetns(one.netns)))
        .map(({ containerId, ifname }) => ({ containerId, ifname }));
      gcNetwork(runtime, list, all ? undefined : live);
    });
  },
};

/** An attachment that is not among the live ones loses its interface, so one that cannot be read stops everything. */
function doubtful(network: string, file: string): CniError {
  return new CniError(codes.tryAgainLater, `Cannot tell what of network "${network}" is alive: "${file}" is no cached result`, {
    details: "remove the file if its container is gone, or detach everything with --all",
  });
}
