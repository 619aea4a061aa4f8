import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/lib/paths.ts";
import { FileLock } from "../../src/sys/file-lock.ts";
import type { Json } from "./call-plugin.ts";
import { type Damage, damagesOf, type Shown } from "./damages.ts";
import { putPodlinkOnPath, type Running, startDaemon, startDnsmasq } from "./dhcp-programs.ts";
import type { KernelFeature } from "./kernel-features.ts";
import { ipJson, output, type Sandbox } from "./node.ts";
import { returnToHost } from "./return-to-host.ts";

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
  /** What not every kernel has. */
  readonly needs?: readonly KernelFeature[];
  /**
   * Makes what the type finds on a node that is not a fresh one, beside the node's own.
   * @returns the link at which its containers' neighbours and gateway are, where that is none of those in the result
   */
  arrangeNode?(): string | undefined;
  /** The device that programs in the container bind to, because nothing leads out for those that do not. */
  readonly device?: string;
  /** Makes what an IPAM type finds in a container, where it finds anything. */
  arrangeContainer?(sandbox: Sandbox): void;
  /** Keys of the configuration that are no two attachments' together. */
  own?(): Json;
  /** What the kernel does when a container's namespace ends and it does not do with what plays that part in a test. */
  endNamespace?(sandbox: Sandbox): void;
  /** What it changes is there in every container: nothing says whose it is. */
  readonly everyones?: true;
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

/** What an attachment of both families has elements in, where it is masqueraded. */
const masqueradeMaps = ["masqueraded4", "masqueraded6", "masquerade_owners"];

const single = { ranges: [[{ subnet: "10.90.9.0/30" }]] };

/** Host ports that are that attachment's alone, in words of the specification and of Go's runtimes. */
function somePorts(attachment: string): Json {
  const hostPort = 20_000 + Buffer.from(attachment).reduce((sum, byte) => (sum * 31 + byte) % 10_007, 7);
  const port = { hostPort, containerPort: 80, protocol: "tcp" };
  return { portMappings: [port, { HostPort: hostPort, ContainerPort: 53, Protocol: "UDP", HostIP: "127.0.0.1" }] };
}

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

/** What the node has of a container that it routes to: addresses and routes at its end of the link, which is listed first. */
function hostEndDamages({ interfaces = [] }: Shown): Damage[] {
  const dev = ["dev", interfaces[0]?.name ?? ""];
  const families = ["-4", "-6"];
  const own = (family: string) =>
    /inet6? (\S+)/.exec(output("ip", family, "address", "show", ...dev, "scope", "global"))?.[1] ?? "";
  const routes = families.map((family) => ({
    title: `no route over "${dev[1]}" (${family})`,
    damage() {
      const [line = ""] = output("ip", family, "route", "show", ...dev).split("\n");
      const [dst = ""] = line.split(" ");
      output("ip", family, "route", "del", dst, ...dev);
      return () => void output("ip", family, "route", "add", dst, ...dev);
    },
  }));
  const addresses = families.map((family) => ({
    title: `another address than the gateway's at "${dev[1]}" (${family})`,
    damage() {
      const change = (verb: string, address: string) => output("ip", family, "address", verb, address, ...dev, "noprefixroute");
      const [gateway, other] = [own(family), family === "-4" ? "192.0.2.77/32" : "2001:db8::77/128"];
      change("add", other); // first: with the last address the kernel takes all routes off a link
      change("del", gateway);
      return () => {
        change("add", gateway);
        change("del", other);
      };
    },
  }));
  const forwarding = ["ipv4/ip_forward", "ipv6/conf/all/forwarding"].map((key) => ({
    title: `${key} off`,
    damage() {
      writeFileSync(`/proc/sys/net/${key}`, "0");
      return () => writeFileSync(`/proc/sys/net/${key}`, "1");
    },
  }));
  return [...routes, ...addresses, ...forwarding];
}

/** An uplink eth0 with a wire to eth0p, the other side of which the node itself plays. */
function makeUplink(): string {
  // A MAC address that links upon it take over is the same on every such node
  output("ip", "link", "add", "eth0", "address", "c2:52:00:00:00:01", "type", "veth", "peer", "name", "eth0p");
  for (const name of ["eth0", "eth0p"]) output("ip", "link", "set", name, "up");
  return "eth0p";
}

const dhcpServers: Running[] = [];

/** A DHCP server at the other end of the uplink, and podlink's daemon; those of the node before are gone. */
function makeDhcpSite(): undefined {
  for (const running of dhcpServers.splice(0)) running.kill();
  putPodlinkOnPath(); // the commands of an explanation have it
  output("ip", "address", "add", "10.90.59.1/24", "dev", "eth0p");
  dhcpServers.push(startDnsmasq("eth0p", "10.90.59.10,10.90.59.24,1h"));
  dhcpServers.push(startDaemon("--broadcast", "--resend-timeout", "20s")); // a server that answers to one notes him as a neighbour
}

const somebodysInterface: Refusal = {
  title: "a container that has an interface of that name from elsewhere",
  command: "ADD",
  code: 999,
  config: {},
  arrange(_network, sandbox) {
    sandbox.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0p");
    return () => void sandbox.ip("link", "del", "eth0");
  },
};

/** What every type refuses that puts its interface upon a link of the node. */
const upperRefusals: readonly Refusal[] = [
  somebodysInterface,
  { title: "a master that is nowhere", command: "ADD", code: 7, config: { master: "nowhere0" } },
  { title: "a master where no default route tells of one", command: "ADD", code: 7, config: { master: "" } },
  { title: "a master on the host in the container", command: "ADD", code: 7, config: { linkInContainer: true } },
  { title: "an MTU that the master cannot carry", command: "ADD", code: 7, config: { mtu: 1501 } },
  { title: "an MTU in words", command: "ADD", code: 7, config: { mtu: "1500" } },
  { title: "an IPAM plugin that is nowhere", command: "ADD", code: 7, config: { ipam: { type: "nowhere" } } },
  { title: "to be ready without its master", command: "STATUS", code: 50, config: { master: "nowhere0" } },
];

/** Which the kernel lets a VLAN have. */
const tinyMtu: Refusal = { title: "an MTU that cannot be", command: "ADD", code: 7, config: { mtu: 20 } };

/** Beside what any interface can suffer: another mode. */
function modeDamages(
  result: Shown,
  sandbox: Sandbox,
  { kind, mode, other }: Record<"kind" | "mode" | "other", string>,
): Damage[] {
  const set = (word: string) => void sandbox.ip("link", "set", "eth0", "type", kind, "mode", word);
  return [
    {
      title: `mode ${other}`,
      damage() {
        set(other);
        return () => set(mode);
      },
    },
    ...damagesOf(result, sandbox),
  ];
}

/** Devices of the node that a container can have, one each; the first is that of conf/. */
const lendable = ["ens6", "ens7", "ens8", "ens9"];

let attached = 0;

function hexByte(number: number): string {
  return (number & 0xff).toString(16).padStart(2, "0");
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
      ...masqueradeMaps.map((map) => ({
        title: `map ${map} flushed`,
        damage() {
          output("nft", "flush", "map", "inet", "podlink", map);
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
  dhcp: {
    conflist: "59-macvlan-dhcp.conflist",
    repeatable: true,
    arrangeNode: makeDhcpSite,
    arrangeContainer(sandbox) {
      // Linux 6.1 looks for a new link's name among the node's
      output("ip", "link", "add", "link", "eth0", "name", "eth0-in", "netns", sandbox.path, "type", "macvlan", "mode", "bridge");
      sandbox.ip("link", "set", "eth0-in", "name", "eth0", "up");
    },
    refusals: [
      { title: "an option that there is not", command: "ADD", code: 7, config: { ipam: { request: [{ option: "colour" }] } } },
      { title: "a metric in words", command: "ADD", code: 7, config: { ipam: { priority: "high" } } },
      { title: "a daemon that is not there", command: "ADD", code: 11, config: { ipam: { daemonSocketPath: "/run/no.sock" } } },
      {
        title: "to be ready without the daemon",
        command: "STATUS",
        code: 51,
        config: { ipam: { daemonSocketPath: "/run/no.sock" } },
      },
      {
        title: "an interface that is not there",
        command: "ADD",
        code: 999,
        config: {},
        arrange(_network, sandbox) {
          const rename = (from: string, to: string) => {
            for (const change of ["down", `name ${to}`]) sandbox.ip("link", "set", from, ...change.split(" "));
            sandbox.ip("link", "set", to, "up");
          };
          rename("eth0", "eth1");
          return () => rename("eth1", "eth0");
        },
      },
    ],
  },
  dummy: {
    needs: ["dummy"],
    refusals: [
      somebodysInterface,
      { title: "to do without addresses", command: "ADD", code: 7, config: { ipam: { type: "" } } },
      { title: "to be ready without addresses", command: "STATUS", code: 7, config: { ipam: { type: "" } } },
    ],
  },
  "host-device": {
    /** Four veth pairs play hardware; behind the first are the neighbours of the network as it stands in conf/. */
    arrangeNode() {
      for (const name of lendable) {
        // Hardware has its MAC address for ever
        output(
          "ip",
          "link",
          "add",
          name,
          "address",
          `02:00:00:00:54:0${name.at(-1)}`,
          "type",
          "veth",
          "peer",
          "name",
          `${name}p`,
        );
        for (const end of [name, `${name}p`]) output("ip", "link", "set", end, "up");
      }
      return `${lendable[0]}p`;
    },
    own: () => ({ device: lendable[attached++ % lendable.length] }),
    endNamespace: (sandbox) => returnToHost(sandbox, { as: "dev%d" }),
    refusals: [
      { title: "to choose a device by itself", command: "ADD", code: 7, config: { device: "" } },
      { title: "a device that is nowhere", command: "ADD", code: 999, config: { device: "nowhere0" } },
      { title: "a device that no container can have", command: "ADD", code: 999, config: { device: "lo" } },
      { title: "a MAC address in words", command: "ADD", code: 7, config: { device: "", hwaddr: "mine" } },
      {
        title: "a path that is not below /sys/devices",
        command: "ADD",
        code: 7,
        config: { device: "", kernelpath: "/sys/class" },
      },
      { title: "a path that only looks so", command: "ADD", code: 7, config: { device: "", kernelpath: "/sys/devices/../x" } },
      { title: "a PCI device that is nowhere", command: "ADD", code: 7, config: { device: "", pciBusID: "ffff:ff:1f.7" } },
      {
        title: "a device of the runtime's that is nowhere",
        command: "ADD",
        code: 7,
        config: { device: "", runtimeConfig: { deviceID: "../devices" } },
      },
      { title: "an IPAM plugin that is nowhere", command: "ADD", code: 7, config: { ipam: { type: "nowhere" } } },
      somebodysInterface,
      { title: "to be ready without a device", command: "STATUS", code: 7, config: { device: "" } },
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
  ipvlan: {
    needs: ["ipvlan"],
    arrangeNode: makeUplink,
    // The kernel lets no two links upon one parent have the same address, nor a link of a namespace that is just going
    own: () => ({ ipam: { ranges: [[{ subnet: "10.90.51.0/24", rangeStart: `10.90.51.${(attached++ % 200) + 10}` }]] } }),
    damages: (result, sandbox) => modeDamages(result, sandbox, { kind: "ipvlan", mode: "l2", other: "l3" }),
    refusals: [...upperRefusals, tinyMtu, { title: "a mode that there is not", command: "ADD", code: 7, config: { mode: "l4" } }],
  },
  loopback: {
    everyones: true,
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
  macvlan: {
    needs: ["macvlan"],
    arrangeNode: makeUplink,
    // Nor have two links upon one parent the same MAC address
    own: () => ({ runtimeConfig: { mac: `c2:50:00:00:${hexByte(attached >> 8)}:${hexByte(attached++)}` } }),
    damages: (result, sandbox) => modeDamages(result, sandbox, { kind: "macvlan", mode: "bridge", other: "private" }),
    refusals: [
      ...upperRefusals,
      tinyMtu,
      { title: "a mode that there is not", command: "ADD", code: 7, config: { mode: "hub" } },
      { title: "a MAC address of a group", command: "ADD", code: 7, config: { mac: "01:00:5e:00:00:01" } },
      { title: "a queue length in words", command: "ADD", code: 7, config: { bcqueuelen: "long" } },
      { title: "to be ready for a mode that there is not", command: "STATUS", code: 7, config: { mode: "hub" } },
    ],
  },
  podlink: {
    runtimeConfig: somePorts,
    refusals: [],
  },
  portmap: {
    conflist: "42-bridge-portmap.conflist",
    repeatable: true,
    runtimeConfig: somePorts,
    damages: () =>
      [
        "flush map inet podlink hostport4",
        "flush map inet podlink hostport4ip",
        "flush map inet podlink hostport6",
        "flush map inet podlink hostport_clients4",
        "flush set inet podlink hostport_loopback",
        "flush map inet podlink hostport_owners",
        "flush map inet podlink loopback_users",
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
  ptp: {
    damages: (result, sandbox) => [
      ...masqueradeMaps.map((map) => rulesetDamage(`flush map inet podlink ${map}`)),
      ...hostEndDamages(result),
      ...damagesOf(result, sandbox),
    ],
    refusals: [
      { title: "to do without addresses", command: "ADD", code: 7, config: { ipam: { type: "" } } },
      { title: "a masquerading backend that there is not", command: "ADD", code: 7, config: { ipMasqBackend: "pf" } },
      { title: "an MTU in words", command: "ADD", code: 7, config: { mtu: "1500" } },
      { title: "an IPAM plugin that is nowhere", command: "ADD", code: 7, config: { ipam: { type: "nowhere" } } },
      {
        title: "an address without a gateway",
        command: "ADD",
        code: 7,
        config: { ipam: { type: "static", addresses: [{ address: "10.90.56.9/24" }] } },
      },
      {
        title: "an address that another link leads to",
        command: "ADD",
        code: 11,
        config: { ipam: { type: "static", addresses: [{ address: "10.90.56.9/24", gateway: "10.90.56.1" }] } },
        arrange() {
          const remove = makeVeth("other0");
          output("ip", "link", "set", "other0", "up");
          output("ip", "route", "add", "10.90.56.9", "dev", "other0");
          return remove;
        },
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
      { title: "to be ready without addresses", command: "STATUS", code: 7, config: { ipam: { type: "" } } },
    ],
  },
  sbr: {
    repeatable: true,
    damages({ ips = [] }, sandbox) {
      return ips.flatMap(({ address }, place) => {
        const source = address.split("/")[0] ?? "";
        const ip = (words: string) => sandbox.ip(...(source.includes(":") ? ["-6"] : []), ...words.split(" "));
        const table = 100 + place;
        const defaults = () => ip(`route show default table ${table}`).trim();
        return [
          {
            title: `no rule for ${source}`,
            damage() {
              ip(`rule del from ${source} table ${table}`);
              return () => void ip(`rule add from ${source} table ${table}`);
            },
          },
          {
            title: `a rule that leads elsewhere for ${source}`,
            damage() {
              ip(`rule del from ${source} table ${table}`);
              ip(`rule add from ${source} table 77`);
              return () => {
                ip(`rule del from ${source} table 77`);
                ip(`rule add from ${source} table ${table}`);
              };
            },
          },
          {
            title: `no default route for ${source}`,
            damage() {
              const before = defaults();
              ip(`route del default table ${table}`);
              return () => void ip(`route add ${before} table ${table}`);
            },
          },
          {
            title: `another default route for ${source}`,
            damage() {
              const before = defaults();
              ip(`route change ${before.replace(/1 dev/, "77 dev")} table ${table}`);
              return () => void ip(`route change ${before} table ${table}`);
            },
          },
          {
            title: `no route to the network of ${source}`,
            damage() {
              const [network = ""] = ip(`route show table ${table} proto kernel`).split(" ");
              ip(`route del ${network} table ${table}`);
              return undefined;
            },
          },
        ];
      });
    },
    refusals: [
      { title: "two gateways of one family", command: "ADD", code: 7, config: { gateways: ["10.90.57.1", "10.90.57.2"] } },
      {
        title: "three gateways",
        command: "ADD",
        code: 7,
        config: { gateways: ["10.90.57.1", "fd00:10:90:57::1", "10.90.57.2"] },
      },
      { title: "a gateway that is no address", command: "ADD", code: 7, config: { gateways: ["10.90.57.0/24"] } },
      { title: "a gateway that is not on the link", command: "ADD", code: 999, config: { gateways: ["10.90.57.1", "fd99::1"] } },
      { title: "table 0", command: "ADD", code: 7, config: { table: 0 } },
      { title: "a table in words", command: "ADD", code: 7, config: { table: "main" } },
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
  tap: {
    needs: ["tun"],
    runtimeConfig: (attachment) => ({ mac: `c2:55:00:00:00:${hexByte(attachment.length)}` }),
    damages: (result, sandbox) => [
      {
        title: "another MTU",
        damage() {
          sandbox.ip("link", "set", "eth0", "mtu", "1280");
          return () => void sandbox.ip("link", "set", "eth0", "mtu", "1450");
        },
      },
      ...damagesOf(result, sandbox),
      {
        title: "a device of another user",
        damage() {
          sandbox.ip("tuntap", "del", "mode", "tap", "name", "eth0", "multi_queue");
          sandbox.ip("tuntap", "add", "mode", "tap", "name", "eth0", "multi_queue", "user", "7", "group", "107");
          return undefined;
        },
      },
    ],
    refusals: [
      somebodysInterface,
      { title: "an MTU in words", command: "ADD", code: 7, config: { mtu: "1500" } },
      { title: "an MTU that cannot be", command: "ADD", code: 7, config: { mtu: 20 } },
      { title: "an owner by name", command: "ADD", code: 7, config: { owner: "qemu" } },
      { title: "a group by name", command: "ADD", code: 7, config: { group: "qemu" } },
      { title: "a bridge that is not in the container", command: "ADD", code: 7, config: { bridge: "br0" } },
      { title: "a bridge that is none", command: "ADD", code: 7, config: { bridge: "lo" } },
      { title: "an IPAM plugin that is nowhere", command: "ADD", code: 7, config: { ipam: { type: "nowhere" } } },
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
  vlan: {
    needs: ["vlan"],
    arrangeNode() {
      const name = "eth0p.52";
      output("ip", "link", "add", "link", makeUplink(), "name", name, "type", "vlan", "id", "52");
      output("ip", "link", "set", name, "up");
      return name;
    },
    own: () => ({ vlanId: (attached++ % 4000) + 60 }), // a link upon a parent has a VLAN for itself alone
    refusals: [
      ...upperRefusals.filter(({ config }) => config.master !== ""),
      { title: "to choose a master by itself", command: "ADD", code: 7, config: { master: "" } },
      { title: "a VLAN that there is not", command: "ADD", code: 7, config: { vlanId: 4095 } },
      {
        title: "a VLAN that another has",
        command: "ADD",
        code: 11,
        config: { vlanId: 53 },
        arrange() {
          output("ip", "link", "add", "link", "eth0", "name", "taken53", "type", "vlan", "id", "53");
          return () => void output("ip", "link", "del", "taken53");
        },
      },
    ],
  },
  vrf: {
    needs: ["vrf"],
    device: "red",
    repeatable: true,
    damages: (_result, sandbox) => [
      {
        title: "a VRF that is down",
        damage() {
          sandbox.ip("link", "set", "red", "down");
          return () => void sandbox.ip("link", "set", "red", "up");
        },
      },
      {
        title: "no port of the VRF",
        damage() {
          sandbox.ip("link", "set", "eth0", "nomaster");
          return () => void sandbox.ip("link", "set", "eth0", "master", "red");
        },
      },
      {
        title: "no VRF",
        damage() {
          sandbox.ip("link", "del", "red");
          return undefined;
        },
      },
    ],
    refusals: [
      { title: "to do without a name", command: "ADD", code: 7, config: { vrfname: undefined } },
      { title: "a name that no link can have", command: "ADD", code: 7, config: { vrfname: "red/blue" } },
      { title: "the main table", command: "ADD", code: 7, config: { table: 254 } },
      {
        title: "another table than the VRF has",
        command: "ADD",
        code: 7,
        config: { table: 20 },
        arrange(_network, sandbox) {
          sandbox.ip("link", "add", "red", "type", "vrf", "table", "10");
          return () => void sandbox.ip("link", "del", "red");
        },
      },
      {
        title: "a name that another kind of link has",
        command: "ADD",
        code: 7,
        config: {},
        arrange(_network, sandbox) {
          sandbox.ip("link", "add", "red", "type", "bridge");
          return () => void sandbox.ip("link", "del", "red");
        },
      },
      {
        title: "an interface that is a port already",
        command: "ADD",
        code: 7,
        config: {},
        arrange(_network, sandbox) {
          sandbox.ip("link", "add", "blue", "type", "bridge");
          sandbox.ip("link", "set", "eth0", "master", "blue");
          return () => void sandbox.ip("link", "del", "blue");
        },
      },
    ],
  },
};

/** The types of a network, those of IPAM last. */
export function typesIn(plugins: readonly { readonly type: string; readonly ipam?: Json }[]): string[] {
  return [...plugins.map(({ type }) => type), ...plugins.flatMap(({ ipam }) => (ipam === undefined ? [] : String(ipam.type)))];
}

/** What a node is made like for plugins of these types, and what its kernel must have. */
export function siteOf(types: readonly string[]): {
  needs: KernelFeature[];
  device: string | undefined;
  arrange(): string | undefined;
} {
  const known = types.flatMap((type) => traits[type] ?? []);
  return {
    needs: [...new Set(known.flatMap(({ needs = [] }) => needs))],
    device: known.find(({ device }) => device !== undefined)?.device,
    arrange: () => known.map(({ arrangeNode }) => arrangeNode?.()).find((outside) => outside !== undefined),
  };
}

/** A type with a configuration to try it with. */
export interface Example extends Traits {
  readonly type: string;
  readonly kind: "interface" | "ipam" | "chained";
  /** The plugins before it in the chain, in their order. */
  readonly before: readonly (Json & { readonly type: string })[];
  /** What the node needs for the whole chain. */
  readonly site: ReturnType<typeof siteOf>;
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
    const site = siteOf(typesIn(plugins));
    if (first?.type === type) return { ...own, type, kind: "interface", site, before: [], config: { ...first, name } };
    if (first?.ipam?.type === type) return { ...own, type, kind: "ipam", site, before: [], config: { ...first, name } };
    const place = plugins.findIndex((plugin) => plugin.type === type);
    const chained = plugins[place];
    if (chained !== undefined)
      return { ...own, type, kind: "chained", site, before: plugins.slice(0, place), config: { ...chained, name } };
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
