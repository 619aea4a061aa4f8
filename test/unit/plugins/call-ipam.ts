import { handle } from "../../../src/cni/handle.ts";
import type { Plugin } from "../../../src/cni/plugin.ts";
import { hostLocal } from "../../../src/plugins/host-local.ts";
import { staticIpam } from "../../../src/plugins/static.ts";

const plugins: Readonly<Record<string, Plugin>> = { "host-local": hostLocal, static: staticIpam };

export interface IpamCall {
  readonly type: "host-local" | "static";
  readonly command: string;
  readonly ipam: object;
  readonly cniVersion?: string;
  readonly containerId?: string;
  readonly ifname?: string;
  /** CNI_ARGS */
  readonly args?: string;
  /** Further top-level keys: `runtimeConfig`, `args`, `prevResult`, … */
  readonly more?: object;
  /** The call fails after the plugin's ADD has succeeded. */
  readonly failLater?: boolean;
}

export interface IpamAnswer {
  readonly exitCode: number;
  readonly stderr: string;
  /** Commands of all changes made. */
  readonly commands: readonly string[];
  /** Undefined when nothing was printed. */
  readonly json: unknown;
}

/** Calls an IPAM plugin as a runtime would, with the whole protocol around it. */
export function callIpam(call: IpamCall): IpamAnswer {
  const { type, command, ipam, cniVersion = "1.1.0", containerId = "cid", ifname = "eth0", args = "", more = {} } = call;
  const config = { cniVersion, name: "net1", type: "bridge", ipam: { type, ...ipam }, ...more };
  const env = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: containerId,
    CNI_NETNS: "/run/netns/none",
    CNI_IFNAME: ifname,
    CNI_PATH: "/none",
    CNI_ARGS: args,
  };
  const host = {
    plugins: call.failLater ? { [type]: failingLater(plugins[type]) } : plugins,
    podlinkVersion: "0.1.0",
    isOwnNetns: () => false,
    invoke(): never {
      throw new Error("an IPAM plugin runs no other");
    },
  };
  const { exitCode, stdout, stderr, report } = handle({ type, env, stdin: () => Buffer.from(JSON.stringify(config)) }, host);
  const json: unknown = stdout === "" ? undefined : JSON.parse(stdout);
  return { exitCode, stderr, commands: report.steps.map((step) => step.command), json };
}

function failingLater(plugin: Plugin | undefined): Plugin {
  if (plugin === undefined) throw new Error("no such plugin");
  return {
    ...plugin,
    add(call, rollback) {
      const result = plugin.add(call, rollback);
      throw new Error(`later, after ${JSON.stringify(result)}`);
    },
  };
}
