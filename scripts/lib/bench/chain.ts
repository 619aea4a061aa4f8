import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Bench, call, type Line } from "./bench.ts";
import { alternate, format, summarize } from "./measure.ts";
import { becomeNode, Container } from "./node.ts";

const limits = { add: 0.35, del: 0.4 };

/** Debian's containernetworking-plugins, when it is installed; it runs iptables, which its PATH must have. */
const reference = "/usr/lib/cni";
const programs = "/usr/sbin:/usr/bin:/sbin:/bin";

const portMappings = [
  { hostPort: 18080, containerPort: 80, protocol: "tcp" },
  { hostPort: 18053, containerPort: 53, protocol: "udp" },
];

type Plugin = { readonly type: string } & Readonly<Record<string, unknown>>;

/** Masquerading, two host ports and an ingress policy: type podlink in one call, the reference in a chain of three (and host-local). */
export async function chainRow(bench: Bench): Promise<Line[]> {
  becomeNode();
  const ipam = { type: "host-local", dataDir: join(bench.scratch, "chain"), ranges: [[{ subnet: "10.90.9.0/24" }]] };
  const ours = [
    { type: "podlink", bridge: "chain0", ingressPolicy: "same-bridge", hostForward: true, ipam, runtimeConfig: { portMappings } },
  ];
  const theirs = [
    { type: "bridge", bridge: "chain1", isDefaultGateway: true, hairpinMode: true, ipMasq: true, ipam },
    { type: "portmap", runtimeConfig: { portMappings } },
    { type: "firewall", ingressPolicy: "same-bridge" },
  ];
  const times = { ours: { add: [] as number[], del: [] as number[] }, theirs: { add: [] as number[], del: [] as number[] } };
  const candidate = (name: "ours" | "theirs", plugins: readonly Plugin[], bin: string) => () => {
    const taken = runChain(bench, { name, plugins, bin });
    times[name].add.push(taken.add);
    times[name].del.push(taken.del);
    return taken.add + taken.del;
  };
  const candidates: Record<string, () => number> = { ours: candidate("ours", ours, bench.bin) };
  const hasReference = existsSync(join(reference, "portmap"));
  if (hasReference) candidates.theirs = candidate("theirs", theirs, reference);
  alternate(candidates, { rounds: bench.rounds });
  return (["add", "del"] as const).map((verb) => {
    const own = summarize(times.ours[verb].slice(1));
    const title = `one call against a chain, ${verb.toUpperCase()}`;
    if (!hasReference) return { text: `${title} ${format(own)}; no reference in ${reference} to compare with`, within: true };
    const other = summarize(times.theirs[verb].slice(1));
    const ratio = own.median / other.median;
    const text = `${title} ${format(own)}, ${ratio.toFixed(2)} times the reference's ${format(other)} (at most ${limits[verb]})`;
    return { text, within: ratio <= limits[verb] };
  });
}

/** ADD of each plugin with the result of the one before it, then DEL of each, last one first; as a runtime does. */
function runChain(
  { scratch }: Bench,
  chain: { name: string; plugins: readonly Plugin[]; bin: string },
): { add: number; del: number } {
  const { name, plugins, bin } = chain;
  using container = new Container();
  const identity = { CNI_CONTAINERID: "bench", CNI_NETNS: container.netns, CNI_IFNAME: "eth0", CNI_PATH: bin };
  const env = { ...identity, PATH: programs, PODLINK_LOG: join(scratch, "log") };
  let prevResult: unknown;
  const run = (plugin: Plugin, command: string): number => {
    const input = JSON.stringify({ cniVersion: "1.0.0", name, ...plugin, ...(prevResult === undefined ? {} : { prevResult }) });
    const { ms, stdout } = call(join(bin, plugin.type), { input, env: { ...env, CNI_COMMAND: command } });
    if (command === "ADD") prevResult = JSON.parse(stdout);
    return ms;
  };
  const sum = (parts: readonly number[]): number => parts.reduce((total, part) => total + part, 0);
  const add = sum(plugins.map((plugin) => run(plugin, "ADD")));
  const del = sum(plugins.toReversed().map((plugin) => run(plugin, "DEL")));
  return { add, del };
}
