import { writeFileSync } from "node:fs";
import { type Host, handle } from "../../../src/cni/handle.ts";
import { respond } from "../../../src/host.ts";
import { plugins } from "../../../src/plugins/index.ts";
import { isOwnNetns } from "../../../src/sys/netns.ts";
import { chain, ipam, podlink, withPorts } from "./attach.ts";
import type { Bench, Figure, Unit } from "./figure.ts";
import { alternate, type Parts, type Summary } from "./measure.ts";
import { type Attachment, Network, type Plugin, type Verb } from "./network.ts";
import { type Reference, references, referencesByBackend } from "./reference.ts";
import type { Ended } from "./spawn.ts";
import { together } from "./together.ts";
import { type TrafficKind, traffic, trafficKinds } from "./traffic.ts";

/** One more container takes at most so many times what it takes with one attached. */
const MOST_GROWTH = 1.2;

const MANY = 500;

const FIRST_PORT = 20_000;

const titles: Readonly<Record<TrafficKind, { name: string; unit: Unit; scale: number }>> = {
  "masquerade connections": { name: "new connections, masqueraded", unit: "connections/s", scale: 1 },
  "masquerade stream": { name: "one stream, masqueraded", unit: "Gbit/s", scale: 8e-9 },
  "host port connections": { name: "new connections to a host port", unit: "connections/s", scale: 1 },
  "host port stream": { name: "one stream to a host port", unit: "Gbit/s", scale: 8e-9 },
};

type Part = Verb | TrafficKind;

/** Nodes with one container and with 500 (masquerading, a host port, an ingress policy): one more, and the traffic of the last. */
export function manyRow(bench: Bench): Figure[] {
  using stack = new DisposableStack();
  const crowds = [1, MANY].flatMap((count) => [
    { label: "ours", count, run: crowd(bench, { stack, count }) },
    ...newest().map((reference) => ({ label: reference.label, count, run: crowd(bench, { stack, count, reference }) })),
  ]);
  const measured = alternate(Object.fromEntries(crowds.map(({ label, count, run }) => [`${label} ${count}`, run])), bench);
  const summary = (label: string, count: number, part: Part): Summary | undefined => measured[`${label} ${count}`]?.[part];
  const others = (count: number, part: Part): Record<string, Summary> =>
    Object.fromEntries(
      newest().flatMap(({ label }) => {
        const found = summary(label, count, part);
        return found === undefined ? [] : [[label, found]];
      }),
    );
  const figures: Figure[] = [];
  for (const verb of ["ADD", "CHECK", "DEL"] as const) {
    const [one, many] = [summary("ours", 1, verb), summary("ours", MANY, verb)];
    if (one === undefined || many === undefined) continue;
    const row = { group: "Many containers", unit: "ms", ours: many } as const;
    figures.push({ ...row, name: `${verb} of one more with ${MANY}`, others: others(MANY, verb) });
    figures.push({
      ...row,
      name: `${verb} of one more with ${MANY} against podlink with 1`,
      others: { "podlink with 1": one },
      ownMeasure: true,
      ...(verb === "CHECK" ? {} : { goal: MOST_GROWTH }),
    });
  }
  for (const kind of trafficKinds) {
    const { name, unit, scale } = titles[kind];
    const scaled = ({ median, low, high, samples }: Summary): Summary => {
      return { median: median * scale, low: low * scale, high: high * scale, samples };
    };
    for (const count of [1, MANY]) {
      const ours = summary("ours", count, kind);
      if (ours === undefined) continue;
      const theirs = Object.entries(others(count, kind)).map(([label, found]) => [label, scaled(found)]);
      const title = `${name}, ${count} container${count === 1 ? "" : "s"}`;
      figures.push({ group: "Traffic", name: title, unit, ours: scaled(ours), others: Object.fromEntries(theirs) });
    }
  }
  return figures;
}

/** To attach 500 takes them a minute, and the rules of 1.1.1 are those of 1.9.1 by iptables. */
function newest(): Reference[] {
  const version = references().at(-1)?.version;
  return referencesByBackend().filter((one) => one.version === version);
}

interface CrowdOptions {
  readonly stack: DisposableStack;
  readonly count: number;
  /** Ours when it is not given. */
  readonly reference?: Reference;
}

/** A node with so many containers, and what takes its measure. */
function crowd(bench: Bench, { stack, count, reference }: CrowdOptions): () => Parts<Part> {
  const store = ipam(bench);
  const label = reference === undefined ? "ours" : reference.label.replace(" ", "-");
  const chosen = (number: number): readonly Plugin[] => {
    const some = reference === undefined ? [podlink(store)] : chain(store, reference);
    return withPorts(some, { first: FIRST_PORT + number });
  };
  const network = stack.use(
    new Network(bench, { name: `many-${count}-${label}`, bin: reference?.bin ?? bench.bin, plugins: chosen }),
  );
  const attachments = Array.from({ length: count }, (_, at) => network.attachment(at + 1));
  if (reference === undefined) for (const attachment of attachments) attach(network, attachment);
  else together(network, { verb: "ADD", attachments, atOnce: 2 });
  network.node.inside(() => writeFileSync("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_close", "1"));
  const last = attachments.at(-1);
  if (last === undefined) throw new Error("a crowd of none");
  return () => {
    const verbs = network.comeAndGo();
    const through = { network, attachment: last, hostPort: FIRST_PORT + count };
    const rates = trafficKinds.map((kind) => [kind, traffic(kind, through)]);
    return { ...verbs, ...Object.fromEntries(rates) };
  };
}

/** An ADD in this process, IPAM included: a fraction of the time that the executable takes to start. */
function attach(network: Network, attachment: Attachment): void {
  const host: Host = { plugins, podlinkVersion: "", isOwnNetns, invoke: (type, request) => respond(host, type, request) };
  const commands = network.commands("ADD", attachment);
  for (let step = commands.next(); step.done !== true; ) {
    const { env, input } = step.value;
    const request = { type: "podlink", env, stdin: () => Buffer.from(input) };
    const { exitCode: status, ...said } = network.node.inside(() => handle(request, host));
    const outcome: Ended = { ...said, status, ms: 0, cpuMs: 0, told: "" };
    step = commands.next(outcome);
  }
}
