import { readFileSync } from "node:fs";
import { addNetwork } from "../runtime/chain.ts";
import type { Attachment } from "../runtime/plugin-call.ts";
import { Steps } from "../support/steps.ts";
import { Netns, withNetns } from "../sys/netns.ts";
import type { Command } from "./command.ts";
import { explained, explainOption } from "./explain.ts";
import { attachmentFor, findNetwork, ifnameOption, openRuntime, requireNetns } from "./network.ts";

export const add: Command = {
  name: "add",
  summary: "Attach a network namespace to a network and print the result",
  positionals: ["<network>", "<netns>"],
  options: { ifname: ifnameOption, explain: explainOption },
  notes: "A failed addition is undone, unless the namespace had that interface before.",
  run({ positionals: [network = "", netns = ""], texts, switches }, shell) {
    const steps = new Steps();
    explained({ switches, shell, steps }, (explainedShell) => {
      const runtime = openRuntime(explainedShell, steps);
      const list = findNetwork(explainedShell, network);
      const attachment = attachmentFor(shell, { netns, ifname: texts.ifname });
      requireNetns(attachment.netns);
      // undoing would take away what was there before this call, perhaps in use and somebody else's
      const undo = runtime.cache.read({ ...attachment, network }) === undefined && !hasInterface(attachment);
      const result = addNetwork(runtime, list, { attachment, undo });
      shell.out(`${JSON.stringify(result, null, 4)}\n`);
    });
  },
};

function hasInterface({ netns, ifname }: Attachment): boolean {
  using namespace = Netns.open(netns);
  const table = withNetns(namespace, () => readFileSync("/proc/thread-self/net/dev", "utf8"));
  return table.split("\n").some((line) => line.trimStart().startsWith(`${ifname}:`));
}
