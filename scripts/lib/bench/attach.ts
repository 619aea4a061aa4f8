import { join } from "node:path";
import type { Bench, Figure, Row } from "./figure.ts";
import { alternate, type Summary } from "./measure.ts";
import { Network, type Plugin, type Verb } from "./network.ts";
import { orLeftOut, programs, type Reference, references, referencesByBackend } from "./reference.ts";

/** A way to attach containers: how podlink is configured for it, and how the reference is. */
interface Way {
  readonly name: string;
  readonly ours: (ipam: object) => readonly Plugin[];
  /** The same as ours where it is not given. */
  readonly theirs?: (ipam: object, reference: Reference) => readonly Plugin[];
  /** Rules are made, so each of the reference's programs for them is tried. */
  readonly rules?: boolean;
  readonly ifname?: string;
  /** Greatest ratios to the reference that were promised. */
  readonly goals?: Partial<Record<Verb, number>>;
}

/** The plain one, with leases of its own. */
export const plainBridge = (ipam: object): Plugin => ({ type: "bridge", bridge: "bench0", isDefaultGateway: true, ipam });

const masquerading = (ipam: object, reference?: Reference): Plugin => ({
  ...plainBridge(ipam),
  ipMasq: true,
  ...(reference === undefined ? {} : { ipMasqBackend: reference.backend, path: programs(reference) }),
});

const ways: readonly Way[] = [
  { name: "loopback", ours: () => [{ type: "loopback" }], ifname: "lo" },
  { name: "bridge", ours: (ipam) => [plainBridge(ipam)], goals: { ADD: 2, DEL: 0.8 } },
  {
    name: "bridge, masquerading",
    ours: (ipam) => [masquerading(ipam)],
    theirs: (ipam, reference) => [masquerading(ipam, reference)],
    rules: true,
    goals: { ADD: 1, DEL: 0.4 },
  },
  oneCall(1, { ADD: 0.25, DEL: 0.25 }),
  oneCall(2, { ADD: 0.35, DEL: 0.4 }),
  oneCall(10, {}),
  oneCall(100, { ADD: 0.5 }),
  { name: "ptp", ours: (ipam) => [{ type: "ptp", ipam }] },
  { name: "macvlan", ours: (ipam) => [{ type: "macvlan", master: "uplink0", ipam }] },
];

/** Masquerading, host ports and an ingress policy: type podlink in one call, the reference in a chain of three. */
function oneCall(count: number, goals: Partial<Record<Verb, number>>): Way {
  return {
    name: `bridge + ${count} host port${count === 1 ? "" : "s"} + firewall`,
    ours: (ipam) => withPorts([podlink(ipam)], { count }),
    theirs: (ipam, reference) => withPorts(chain(ipam, reference), { count }),
    rules: true,
    goals,
  };
}

/** What a node's containers are usually attached by, in one call. */
export function podlink(ipam: object): Plugin {
  return { type: "podlink", bridge: "bench0", ingressPolicy: "same-bridge", hostForward: true, ipam };
}

/** The same in three; the reference's firewall knows only iptables. */
export function chain(ipam: object, reference: Reference): readonly Plugin[] {
  return [
    { ...masquerading(ipam, reference), hairpinMode: true },
    { type: "portmap", backend: reference.backend, path: programs(reference) },
    { type: "firewall", ingressPolicy: "same-bridge" },
  ];
}

/** Host ports from `first` on for those of the plugins that map them. */
export function withPorts(plugins: readonly Plugin[], { first = 18_000, count = 1 }): readonly Plugin[] {
  const portMappings = Array.from({ length: count }, (_, at) => ({
    hostPort: first + at,
    containerPort: 80 + at,
    protocol: "tcp",
  }));
  const mapping = new Set(["podlink", "portmap"]);
  return plugins.map((plugin) => (mapping.has(plugin.type) ? { ...plugin, runtimeConfig: { portMappings } } : plugin));
}

/** host-local on a store for everybody: networks have their own directories in it. */
export function ipam({ scratch }: Bench): object {
  return { type: "host-local", dataDir: join(scratch, "leases"), ranges: [[{ subnet: "10.90.0.0/20" }]] };
}

/** ADD, CHECK and DEL of every way, each a row of its own: `--only` chooses by name. */
export const attachRows: Readonly<Record<string, Row>> = Object.fromEntries(
  ways.map((way) => [`ADD, CHECK and DEL: ${way.name}`, (bench: Bench) => attachRow(bench, way)]),
);

function attachRow(bench: Bench, { name, ours, theirs = ours, rules = false, ifname = "eth0", goals = {} }: Way): Figure[] {
  using stack = new DisposableStack();
  const candidate = (label: string, bin: string, plugins: readonly Plugin[]) => {
    const id = `${name} ${label}`.replaceAll(/[^a-z0-9.]+/g, "-");
    return stack.use(new Network(bench, { name: id, bin, plugins: () => plugins, ifname })).comeAndGo;
  };
  const candidates: Record<string, () => Partial<Record<Verb, number>>> = {
    ours: candidate("ours", bench.bin, ours(ipam(bench))),
  };
  for (const one of rules ? referencesByBackend() : references()) {
    const run = candidate(one.label, one.bin, theirs(ipam(bench), one));
    candidates[one.label] = orLeftOut(`${name}, ${one.label}`, run);
  }
  const { ours: own = {}, ...others } = alternate(candidates, bench);
  return (["ADD", "CHECK", "DEL"] as const).flatMap((verb): Figure[] => {
    const summary = own[verb];
    if (summary === undefined) return [];
    const compared = Object.entries(others).flatMap(([label, verbs]): [string, Summary][] =>
      verbs[verb] === undefined ? [] : [[label, verbs[verb]]],
    );
    const goal = goals[verb];
    const figure = { group: verb, name, unit: "ms", ours: summary, others: Object.fromEntries(compared) } as const;
    return [goal === undefined ? figure : { ...figure, goal }];
  });
}
