import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/lib/paths.ts";
import { FileLock } from "../../src/sys/file-lock.ts";
import type { Json } from "./call-plugin.ts";
import { type Damage, damagesOf, type Shown } from "./damages.ts";
import { ipJson, output, type Sandbox } from "./node.ts";

/** A call that a type must refuse, beside those that every type must. */
export interface Refusal {
  readonly title: string;
  readonly command: "ADD" | "STATUS";
  readonly code: number;
  /** Keys put into the example's configuration; those of `ipam` beside the ones that are there. */
  readonly config: Json;
  /** Brings about what makes the call fail. @returns what undoes it */
  arrange?(network: string, sandbox: Sandbox): () => void;
}

/** What the conformance suite has to know of a type that its result does not tell. */
interface Traits {
  /** Name of a file in conf/; the first that has the type unless given. */
  readonly conflist?: string;
  /** ADD for the second time succeeds, because it makes nothing that can be there only once. */
  readonly repeatable?: true;
  /** What a runtime hands in for the capabilities of the type's example; for another attachment something else. */
  runtimeConfig?(attachment: string): Json;
  /** Ways to spoil what the type made, where its result does not say all that is to be known; each answers how to mend it. */
  damages?(result: Shown, sandbox: Sandbox): Damage[];
  readonly refusals: readonly Refusal[];
}

const leaseDirectory = (network: string): string => join("/var/lib/cni/networks", network);

/** Takes the one address of a range of one, as another container has it. */
function takeLastAddress(network: string): () => void {
  const lease = join(leaseDirectory(network), "10.90.9.2");
  mkdirSync(leaseDirectory(network), { recursive: true });
  writeFileSync(lease, "other\r\neth0");
  return () => rmSync(lease);
}

function makeVeth(name: string): () => void {
  output("ip", "link", "add", name, "type", "veth", "peer", "name", `${name}p`);
  return () => void output("ip", "link", "del", name);
}

const single = { ranges: [[{ subnet: "10.90.9.0/30" }]] };

/** What nft is told to spoil, and the whole ruleset put back. */
function rulesetDamage(command: string): Damage {
  return {
    title: command,
    damage() {
      const before = output("nft", "list", "ruleset");
      output("nft", command);
      return () => void output("nft", `flush ruleset\n${before}`);
    },
  };
}

/** Only what differs from a type that makes an interface and refuses nothing of its own. */
const traits: Readonly<Record<string, Traits>> = {
  bandwidth: {
    conflist: "41-bridge-bandwidth.conflist",
    repeatable: true,
    damages({ interfaces = [] }) {
      const ifb = interfaces.at(-1)?.name ?? "";
      const limit = ["root", "handle", "1:", "tbf", "rate", "50mbit", "burst", "625000", "limit", "781250"];
      return [
        {
          title: "no limit",
          damage() {
            output("tc", "qdisc", "del", "dev", ifb, "root");
            return () => void output("tc", "qdisc", "add", "dev", ifb, ...limit);
          },
        },
        {
          title: "nothing to go through",
          damage() {
            output("ip", "link", "del", ifb);
            return undefined;
          },
        },
      ];
    },
    refusals: [
      { title: "a rate without a burst", command: "ADD", code: 7, config: { egressBurst: 0 } },
      { title: "a burst without a rate", command: "ADD", code: 7, config: { ingressRate: 0 } },
      { title: "a burst of 4 GB", command: "ADD", code: 7, config: { ingressBurst: 8 * 0xffffffff } },
      { title: "a rate in words", command: "ADD", code: 7, config: { ingressRate: "100M" } },
    ],
  },
  bridge: {
    conflist: "20-bridge.conflist",
    damages: (result, sandbox) => [
      ...["masquerade4", "masquerade6", "inside4", "inside6"].map((set) => ({
        title: `set ${set} flushed`,
        damage() {
          output("nft", "flush", "set", "inet", "podlink", set);
          return undefined;
        },
      })),
      ...damagesOf(result, sandbox),
    ],
    refusals: [
      { title: "a masquerading backend that there is not", command: "ADD", code: 7, config: { ipMasqBackend: "pf" } },
      { title: "not to masquerade to what is no network", command: "ADD", code: 7, config: { nonMasqueradeCIDRs: ["10.0.0.0"] } },
      {
        title: "hairpin and promiscuous mode at once",
        command: "ADD",
        code: 7,
        config: { hairpinMode: true, promiscMode: true },
      },
      { title: "an MTU in words", command: "ADD", code: 7, config: { mtu: "1500" } },
      { title: "an IPAM plugin that is nowhere", command: "ADD", code: 7, config: { ipam: { type: "nowhere" } } },
      {
        title: "a bridge name that another kind of link has",
        command: "ADD",
        code: 7,
        config: { bridge: "taken0" },
        arrange: () => makeVeth("taken0"),
      },
      {
        title: "a container that has an interface of that name from elsewhere",
        command: "ADD",
        code: 999,
        config: {},
        arrange(_network, sandbox) {
          sandbox.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0p");
          return () => void sandbox.ip("link", "del", "eth0");
        },
      },
      {
        title: "to be ready while another kind of link has the bridge's name",
        command: "STATUS",
        code: 50,
        config: { bridge: "taken0" },
        arrange: () => makeVeth("taken0"),
      },
    ],
  },
  firewall: {
    conflist: "43-bridge-firewall.conflist",
    repeatable: true,
    damages: () =>
      [
        "flush chain inet podlink ingress_policy",
        "flush chain bridge podlink ingress_policy",
        "flush set inet podlink policy_bridges",
        "flush set inet podlink policy_isolated",
        "flush set bridge podlink isolated_ports",
        "flush map inet podlink policy_users",
        "flush map inet podlink forward_users",
        "flush ruleset",
      ].map(rulesetDamage),
    refusals: [
      { title: "firewalld", command: "ADD", code: 2, config: { backend: "firewalld" } },
      { title: "a zone of firewalld", command: "ADD", code: 2, config: { firewalldZone: "trusted" } },
      { title: "a chain of iptables", command: "ADD", code: 2, config: { iptablesAdminChainName: "CNI-ADMIN" } },
      { title: "a backend that there is not", command: "ADD", code: 7, config: { backend: "pf" } },
      { title: "a policy that there is not", command: "ADD", code: 7, config: { ingressPolicy: "closed" } },
      {
        title: "a policy for an interface that is on no bridge",
        command: "ADD",
        code: 7,
        config: {},
        arrange() {
          const [port] = ipJson<{ ifname: string }>("link", "show", "master", "guarded0");
          output("ip", "link", "set", port?.ifname ?? "", "nomaster");
          return () => void output("ip", "link", "set", port?.ifname ?? "", "master", "guarded0");
        },
      },
      { title: "to be ready for firewalld", command: "STATUS", code: 2, config: { backend: "firewalld" } },
    ],
  },
  "host-local": {
    conflist: "20-bridge.conflist",
    refusals: [
      { title: "a configuration without ranges", command: "ADD", code: 7, config: { ipam: { ranges: [] } } },
      { title: "a range with host bits", command: "ADD", code: 7, config: { ipam: { ranges: [[{ subnet: "10.90.9.1/24" }]] } } },
      { title: "to lease from a full range", command: "ADD", code: 11, config: { ipam: single }, arrange: takeLastAddress },
      { title: "to be ready with a full range", command: "STATUS", code: 50, config: { ipam: single }, arrange: takeLastAddress },
      { title: "a directory that cannot be made", command: "ADD", code: 999, config: { ipam: { dataDir: "/proc/nowhere" } } },
      {
        title: "to be ready where it cannot write",
        command: "STATUS",
        code: 50,
        config: { ipam: { dataDir: "/proc/version/x" } },
      },
      {
        title: "to wait for a lock longer than it may",
        command: "ADD",
        code: 11,
        config: { ipam: { lockTimeoutMs: 0 } },
        arrange(network) {
          const lock = FileLock.acquire(join(leaseDirectory(network), "lock"), { timeoutMs: 0 });
          return () => lock[Symbol.dispose]();
        },
      },
    ],
  },
  loopback: {
    repeatable: true,
    refusals: [
      {
        title: "a foreign address on lo",
        command: "ADD",
        code: 999,
        config: {},
        arrange(_network, sandbox) {
          sandbox.ip("address", "add", "10.90.9.9/32", "dev", "lo");
          return () => void sandbox.ip("address", "del", "10.90.9.9/32", "dev", "lo");
        },
      },
    ],
  },
  portmap: {
    conflist: "42-bridge-portmap.conflist",
    repeatable: true,
    runtimeConfig(attachment) {
      const hostPort = 20_000 + Buffer.from(attachment).reduce((sum, byte) => (sum * 31 + byte) % 10_007, 7);
      const port = { hostPort, containerPort: 80, protocol: "tcp" };
      return { portMappings: [port, { HostPort: hostPort, ContainerPort: 53, Protocol: "UDP", HostIP: "127.0.0.1" }] };
    },
    damages: () =>
      [
        "flush map inet podlink hostport4",
        "flush map inet podlink hostport4ip",
        "flush map inet podlink hostport6",
        "flush set inet podlink hostport_return4",
        "flush set inet podlink hostport_loopback",
        "flush chain inet podlink hostport_prerouting",
        "flush chain inet podlink loopback_guard",
        "flush ruleset",
      ].map(rulesetDamage),
    refusals: [
      { title: "a bit of the mark", command: "ADD", code: 2, config: { markMasqBit: 14 } },
      { title: "to be ready with a bit of the mark", command: "STATUS", code: 2, config: { markMasqBit: 14 } },
      { title: "a backend that there is not", command: "ADD", code: 7, config: { backend: "pf" } },
      {
        title: "a protocol without ports",
        command: "ADD",
        code: 7,
        config: { runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "icmp" }] } },
      },
      {
        title: "a port beyond the last",
        command: "ADD",
        code: 7,
        config: { runtimeConfig: { portMappings: [{ hostPort: 65_536, containerPort: 80, protocol: "tcp" }] } },
      },
      {
        title: "a port that somebody has",
        command: "ADD",
        code: 11,
        config: { runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: "tcp" }] } },
        arrange() {
          const map = "hostport4 { type inet_proto . inet_service : ipv4_addr . inet_service; }";
          const element = "hostport4 { tcp . 8080 : 192.0.2.1 . 80 }";
          output("nft", `add table inet podlink; add map inet podlink ${map}; add element inet podlink ${element}`);
          return () => void output("nft", "delete element inet podlink hostport4 { tcp . 8080 }");
        },
      },
    ],
  },
  static: {
    conflist: "30-bridge-static.conflist",
    repeatable: true,
    refusals: [
      {
        title: "an address without a length",
        command: "ADD",
        code: 7,
        config: { ipam: { addresses: [{ address: "10.90.3.10" }] } },
      },
    ],
  },
  tuning: {
    conflist: "40-bridge-tuning.conflist",
    repeatable: true,
    damages: (_result, sandbox) => [
      {
        title: "another MTU",
        damage() {
          sandbox.ip("link", "set", "eth0", "mtu", "1280");
          return () => void sandbox.ip("link", "set", "eth0", "mtu", "1400");
        },
      },
      {
        title: "a sysctl changed",
        damage() {
          sandbox.run(() => writeFileSync("/proc/sys/net/core/somaxconn", "77"));
          return undefined;
        },
      },
    ],
    refusals: [
      { title: "a sysctl that is not the network's", command: "ADD", code: 7, config: { sysctl: { "kernel.shmmax": "1" } } },
      { title: "a sysctl that there is not", command: "ADD", code: 7, config: { sysctl: { "net.core.nowhere": "1" } } },
      { title: "a sysctl's value that cannot be", command: "ADD", code: 7, config: { sysctl: { "net.core.somaxconn": "many" } } },
      { title: "an MTU that cannot be", command: "ADD", code: 7, config: { mtu: 70_000 } },
      { title: "a MAC address of a group", command: "ADD", code: 7, config: { mac: "01:00:5e:00:00:01" } },
      { title: "a directory that cannot be made", command: "ADD", code: 999, config: { dataDir: "/proc/nowhere" } },
      { title: "to be ready where it cannot write", command: "STATUS", code: 50, config: { dataDir: "/proc/version/x" } },
    ],
  },
};

/** A type with a configuration to try it with. */
export interface Example extends Traits {
  readonly type: string;
  readonly kind: "interface" | "ipam" | "chained";
  /** The plugins before it in the chain, in their order. */
  readonly before: readonly (Json & { readonly type: string })[];
  /** Without `cniVersion`. */
  readonly config: Json & { readonly name: string };
}

/** @throws Error for a type that no conflist in conf/ shows */
export function exampleOf(type: string): Example {
  const own = traits[type] ?? { refusals: [] };
  const files = own.conflist === undefined ? conflists() : [own.conflist];
  for (const file of files) {
    const { name, plugins } = readConflist(file);
    const [first] = plugins;
    if (first?.type === type) return { ...own, type, kind: "interface", before: [], config: { ...first, name } };
    if (first?.ipam?.type === type) return { ...own, type, kind: "ipam", before: [], config: { ...first, name } };
    const place = plugins.findIndex((plugin) => plugin.type === type);
    const chained = plugins[place];
    if (chained !== undefined)
      return { ...own, type, kind: "chained", before: plugins.slice(0, place), config: { ...chained, name } };
  }
  throw new Error(`conf/ has no example of type "${type}"`);
}

/** Types this file knows something of; a test keeps it from going stale. */
export const typesWithTraits = Object.keys(traits);

export function conflists(): string[] {
  return readdirSync(join(root, "conf"))
    .filter((file) => file.endsWith(".conflist"))
    .sort();
}

export function readConflist(file: string): {
  cniVersion: string;
  name: string;
  plugins: (Json & { type: string; ipam?: Json })[];
} {
  return JSON.parse(readFileSync(join(root, "conf", file), "utf8"));
}
