import { delNetwork } from "../runtime/chain.ts";
import { type NetworkList, parseNetworkList } from "../runtime/network-list.ts";
import type { Attachment, Runtime } from "../runtime/plugin-call.ts";
import { Steps } from "../support/steps.ts";
import type { Command } from "./command.ts";
import { explained, explainOption } from "./explain.ts";
import { asAdded, attachmentFor, findNetwork, ifnameOption, openRuntime } from "./network.ts";
import type { Shell } from "./shell.ts";

export const del: Command = {
  name: "del",
  summary: "Detach a network namespace from a network",
  positionals: ["<network>", "<netns>"],
  options: { ifname: ifnameOption, explain: explainOption },
  notes: "The namespace may be gone. What is not there any more is no failure.",
  run({ positionals: [network = "", netns = ""], texts, switches }, shell) {
    const steps = new Steps();
    explained({ switches, shell, steps }, (explainedShell) => {
      const runtime = openRuntime(explainedShell, steps);
      const attachment = attachmentFor(shell, { netns, ifname: texts.ifname });
      const list = listFor({ network, attachment, runtime, shell: explainedShell });
      delNetwork(runtime, list, asAdded(runtime, { list, attachment }));
    });
  },
};

/** The configuration as it is now; when it is gone, as it was at the addition. */
function listFor(sought: { network: string; attachment: Attachment; runtime: Runtime; shell: Shell }): NetworkList {
  const { network, attachment, runtime, shell } = sought;
  try {
    return findNetwork(shell, network);
  } catch (error) {
    const cached = runtime.cache.read({ ...attachment, network });
    if (cached === undefined || cached.config.length === 0) throw error;
    runtime.warn(`network "${network}" has no configuration any more: using the one it was added with`);
    return parseNetworkList(cached.config);
  }
}
