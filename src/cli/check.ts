import { checkNetwork } from "../runtime/chain.ts";
import type { Command } from "./command.ts";
import { asAdded, attachmentFor, findNetwork, ifnameOption, openRuntime, requireNetns } from "./network.ts";

export const check: Command = {
  name: "check",
  summary: "Compare an attachment with what its addition made; silent when all is well",
  positionals: ["<network>", "<netns>"],
  options: { ifname: ifnameOption },
  notes: "",
  run({ positionals: [network = "", netns = ""], texts }, shell) {
    const runtime = openRuntime(shell);
    const list = findNetwork(shell, network);
    const attachment = attachmentFor(shell, { netns, ifname: texts.ifname });
    requireNetns(attachment.netns);
    if (list.disableCheck) runtime.warn(`network "${network}" sets disableCheck: nothing was compared`);
    checkNetwork(runtime, list, asAdded(runtime, { list, attachment }));
  },
};
