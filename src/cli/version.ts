import { versions } from "../cni/version.ts";
import type { Command } from "./command.ts";

export const version: Command = {
  name: "version",
  summary: "Show podlink's version, the plugin types inside, and the protocol versions they speak",
  positionals: [],
  options: {},
  notes: "",
  run(_input, shell) {
    shell.out(
      `podlink ${shell.version}\nplugins: ${shell.pluginTypes.join(", ")}\nCNI protocol versions: ${versions.join(", ")}\n`,
    );
  },
};
