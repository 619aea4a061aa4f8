import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { dist } from "../../scripts/lib/paths.ts";
import type { Json } from "./call-plugin.ts";
import { freshNode, ipJson, output, Sandbox } from "./node.ts";
import { pluginDirectory } from "./reference.ts";

/** A directory of plugins that can be called as a runtime does. */
export interface Implementation {
  readonly name: string;
  /** CNI_PATH: where the plugins are, and those they delegate to. */
  readonly path: string;
}

export const podlink: Implementation = { name: "podlink", path: join(dist, "cni") };
export const reference: Implementation = { name: "the reference", path: pluginDirectory("1.9.1") };

/** One call of a plugin's executable. */
export interface ProcessCall {
  readonly type: string;
  readonly command: string;
  readonly config: Json;
  readonly containerId?: string;
  readonly netns?: string;
  readonly args?: string | undefined;
  /** CNI_PATH for what the plugin delegates to; the implementation's own unless given. */
  readonly path?: string | undefined;
  /** PATH, for what needs the programs of the node; nothing of ours does. */
  readonly programs?: string | undefined;
}

export interface ProcessAnswer {
  readonly exitCode: number | null;
  /** The JSON document on stdout, or undefined where there is none. */
  readonly output: Json | undefined;
}

/** Starts the plugin as a process, with the variables of the specification and no others. */
export function callProcess({ path: home }: Implementation, call: ProcessCall): ProcessAnswer {
  const { type, command, config, containerId = "cid-1", netns = "", args = "", path = home, programs } = call;
  const env = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: containerId,
    CNI_NETNS: netns,
    CNI_IFNAME: "eth0",
    CNI_ARGS: args,
    CNI_PATH: path,
    ...(programs === undefined ? {} : { PATH: programs }),
  };
  const program = join(home, type);
  const { status, stdout, error } = spawnSync(program, { argv0: program, env, input: JSON.stringify(config), encoding: "utf8" });
  if (error !== undefined) throw error;
  return { exitCode: status, output: stdout === "" ? undefined : JSON.parse(stdout) };
}

/** A life of one attachment to observe. */
export interface Scenario {
  readonly type: string;
  readonly config: Json & { readonly cniVersion: string };
  readonly args?: string | undefined;
  /** Commands of `ip`, by which the node is prepared. */
  readonly arrange?: readonly string[];
}

/** What an implementation answered, and the state it left. */
export interface Observation {
  readonly add: ProcessAnswer;
  readonly check: ProcessAnswer | undefined;
  readonly del: ProcessAnswer;
  readonly delAgain: ProcessAnswer;
  readonly stateAfterAdd: unknown;
  readonly stateAfterDel: unknown;
}

/** ADD, CHECK, DEL and DEL without the namespace, on a node on which nothing ever was; the state between them. */
export function observe(implementation: Implementation, { type, config, args, arrange = [] }: Scenario): Observation {
  freshNode();
  using sandbox = new Sandbox();
  for (const command of arrange) output("ip", ...command.split(" "));
  const call = (command: string, more: Json = {}, netns = sandbox.path) =>
    callProcess(implementation, { type, command, config: { ...config, ...more }, netns, args });
  const state = () => ({
    node: { ...networkState(), sysctls: readSysctls() },
    container: sandbox.run(() => ({ ...networkState(), sysctls: readSysctls() })),
    leases: leaseFiles(),
  });
  const add = call("ADD");
  const added = add.exitCode === 0;
  const stateAfterAdd = state();
  // names and paths that are each implementation's own, or the test's
  const known = { [sandbox.path]: "SANDBOX", ...(added ? rolesOf(sandbox, JSON.stringify([config, args, arrange])) : {}) };
  const hasPrevResult = added && !["0.1.0", "0.2.0", "0.3.0", "0.3.1"].includes(config.cniVersion);
  const prevResult = hasPrevResult ? { prevResult: add.output } : {};
  const check = hasPrevResult ? call("CHECK", prevResult) : undefined;
  const del = call("DEL", prevResult);
  const observation = { add, check, del, stateAfterAdd, stateAfterDel: state(), delAgain: call("DEL", {}, "") };
  return steady(observation, known) as Observation;
}

type Shown = Json & {
  readonly ifname: string;
  readonly address: string;
  readonly master?: string;
  readonly flags: readonly string[];
};

/**
 * Links, addresses and routes of the namespace this thread stands in, as `ip` shows them; without what changes by itself (timers, what
 * follows the carrier) and what the kernel adds by itself some time later (link-local addresses, local IPv6 routes).
 */
export function networkState(): { links: unknown[]; addresses: unknown[]; routes: unknown[] } {
  const input = "link show\naddress show\nroute show table all\n";
  const { status, stdout, stderr } = spawnSync("ip", ["-details", "-json", "-batch", "-"], { input, encoding: "utf8" });
  if (status !== 0) throw new Error(`ip -batch: ${stderr}`);
  // a line for each, but none for routes that there are not
  const [linkList, addressList, routeList] = stdout.split("\n").map((line) => JSON.parse(line || "[]"));
  const links = (linkList as Shown[]).map((link) => ({
    ...link,
    flags: link.flags.filter((flag) => flag === "UP" || flag === "PROMISC"),
  }));
  const addresses = (addressList as { ifname: string; addr_info: { local: string }[] }[]).map(({ ifname, addr_info }) => {
    return { ifname, addresses: addr_info.filter(({ local }) => !local.startsWith("fe80:")) };
  });
  const routes = ((routeList ?? []) as { dst: string; table?: string; type?: string }[]).filter(({ dst, table, type }) => {
    return !/^(fe80|ff|multicast)/.test(dst) && type !== "multicast" && !(table === "local" && dst.includes(":"));
  });
  return { links, addresses, routes: routes.map((route) => ({ ...route, flags: [] })) };
}

/** Links and MAC addresses by what they are; an address that the test asks for stays as it is. */
function rolesOf(sandbox: Sandbox, asked: string): Record<string, string> {
  const roles: Record<string, string> = {};
  for (const { ifname, address, master } of ipJson<Shown>("link", "show")) {
    if (master === undefined || !/^(veth|pl)/.test(ifname)) continue;
    roles[ifname] = "PORT";
    roles[address] = "PORT-MAC";
  }
  for (const { ifname, address } of sandbox.ipJson<Shown>("link", "show")) {
    if (ifname !== "lo" && !asked.includes(address)) roles[address] = "CONTAINER-MAC";
  }
  return roles;
}

/** The sysctls that an implementation may set for a link or a node. */
const keys = [
  "ipv4/conf/*/arp_notify",
  "ipv6/conf/*/accept_dad",
  "ipv6/conf/*/accept_ra",
  "ipv6/conf/*/disable_ipv6",
  "ipv6/conf/*/enhanced_dad",
].concat(["ipv6/conf/*/keep_addr_on_down", "ipv6/conf/*/ndisc_notify", "ipv6/conf/*/forwarding", "ipv4/conf/*/forwarding"]);

function readSysctls(): Record<string, string> {
  const links = readdirSync("/proc/sys/net/ipv4/conf");
  const found: Record<string, string> = {};
  for (const link of links) {
    for (const key of keys) {
      const path = key.replace("*", link);
      try {
        found[path.replace(/conf\/(veth|pl)[0-9a-z]{8,}/, "conf/PORT")] = readFileSync(`/proc/sys/net/${path}`, "utf8").trim();
      } catch {
        // a family that the kernel does not have
      }
    }
  }
  return found;
}

/** Every file below the data directory with what is in it. */
function leaseFiles(): Record<string, string> {
  const home = "/var/lib/cni/networks";
  let names: string[] = [];
  try {
    names = readdirSync(home, { recursive: true, encoding: "utf8" }).sort();
  } catch {
    // nothing was leased
  }
  // What podlink knows beside is its own matter
  const files = names.filter((name) => !name.includes(".podlink") && statSync(join(home, name)).isFile());
  return Object.fromEntries(files.map((name) => [name, readFileSync(join(home, name), "utf8")]));
}

/** Numbers that the kernel gives in the order of creation, timers, and what follows the carrier with some delay. */
const unsteady =
  /^(ifindex|link_index|link_netnsid|no|port_no|port_id|root_id|bridge_id|designated.*|operstate|.*timer.*|.*change.*|tentative|valid_life_time|preferred_life_time|state)$/;

/** The same with roles for names, without what differs from one time to the next. */
export function steady(value: unknown, roles: Readonly<Record<string, string>> = {}): unknown {
  if (typeof value === "string") return roles[value] ?? value;
  if (Array.isArray(value)) return value.map((item) => steady(item, roles));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !unsteady.test(key))
      .map(([key, item]) => [key, steady(item, roles)]),
  );
}
