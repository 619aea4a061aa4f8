import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../../scripts/lib/paths.ts";
import { FileLock } from "../../src/sys/file-lock.ts";
import type { Json } from "./call-plugin.ts";
import { output, type Sandbox } from "./node.ts";

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

/** Only what differs from a type that makes an interface and refuses nothing of its own. */
const traits: Readonly<Record<string, Traits>> = {
  bridge: {
    conflist: "20-bridge.conflist",
    refusals: [
      { title: "masquerading, which is not built yet", command: "ADD", code: 2, config: { ipMasq: true } },
      { title: "the spoof check, which is not built yet", command: "ADD", code: 2, config: { macspoofchk: true } },
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
};

/** A type with a configuration to try it with. */
export interface Example extends Traits {
  readonly type: string;
  readonly kind: "interface" | "ipam";
  /** Without `cniVersion`. */
  readonly config: Json & { readonly name: string };
}

/** @throws Error for a type that no conflist in conf/ shows */
export function exampleOf(type: string): Example {
  const own = traits[type] ?? { refusals: [] };
  const files = own.conflist === undefined ? conflists() : [own.conflist];
  for (const file of files) {
    const { name, plugins } = readConflist(file);
    const [first, ...chained] = plugins;
    if (chained.some((plugin) => plugin.type === type))
      throw new Error(`The suite cannot try chained types yet, such as "${type}"`);
    if (first?.type === type) return { ...own, type, kind: "interface", config: { ...first, name } };
    if (first?.ipam?.type === type) return { ...own, type, kind: "ipam", config: { ...first, name } };
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
