// Run as a process of its own, in the namespace of the one that starts it: one ADD. It says when it is ready, and waits until its
// standard input ends.
import { readFileSync, writeSync } from "node:fs";
import { handle } from "../../src/cni/handle.ts";
import { sbr } from "../../src/plugins/sbr.ts";

const { config, netns, containerId, ifname } = JSON.parse(process.argv[2] ?? "{}");
const env = { CNI_COMMAND: "ADD", CNI_PATH: "/nowhere", CNI_NETNS: netns, CNI_CONTAINERID: containerId, CNI_IFNAME: ifname };
writeSync(1, "ready");
readFileSync(0);
const { exitCode, stdout } = handle(
  { type: "sbr", env, stdin: () => Buffer.from(JSON.stringify(config)) },
  {
    plugins: { sbr },
    podlinkVersion: "0",
    isOwnNetns: () => false,
    invoke: () => ({ exitCode: 1, stdout: "", stderr: "" }),
  },
);
if (exitCode !== 0) console.error(stdout);
process.exitCode = exitCode;
