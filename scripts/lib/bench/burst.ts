import { chain, ipam, plainBridge, podlink, withPorts } from "./attach.ts";
import type { Bench, Figure, Row } from "./figure.ts";
import { alternate, type Parts, quantile, type Summary } from "./measure.ts";
import { Network, type Plugin } from "./network.ts";
import { orLeftOut, type Reference, references, referencesByBackend } from "./reference.ts";
import { together } from "./together.ts";

const sizes = [10, 25] as const;

/** Title in the table by part of a run. */
const parts = { p50: "half done", p99: "99 % done", cpu: "processor time of each" } as const;
type Part = keyof typeof parts;

interface Way {
  readonly name: string;
  readonly ours: (ipam: object, number: number) => readonly Plugin[];
  readonly theirs: (ipam: object, options: { reference: Reference; number: number }) => readonly Plugin[];
  readonly references: () => Reference[];
}

const ways: readonly Way[] = [
  { name: "bridge", ours: (store) => [plainBridge(store)], theirs: (store) => [plainBridge(store)], references },
  {
    name: "bridge + 1 host port + firewall",
    ours: (store, number) => withPorts([podlink(store)], { first: 20_000 + number }),
    theirs: (store, { reference, number }) => withPorts(chain(store, reference), { first: 20_000 + number }),
    references: referencesByBackend,
  },
];

/** Many ADDs asked for at once, as after a node's restart. */
export const burstRows: Readonly<Record<string, Row>> = Object.fromEntries(
  ways.flatMap((way) =>
    sizes.map((size) => [`${size} ADDs at once: ${way.name}`, (bench: Bench) => burstRow(bench, { way, size })]),
  ),
);

function burstRow(bench: Bench, { way, size }: { way: Way; size: number }): Figure[] {
  using stack = new DisposableStack();
  const candidate = (label: string, bin: string, plugins: (number: number) => readonly Plugin[]) => {
    const name = `burst-${size} ${way.name} ${label}`.replaceAll(/[^a-z0-9.]+/g, "-");
    const network = stack.use(new Network(bench, { name, bin, plugins }));
    return () => burst(network, size);
  };
  const store = ipam(bench);
  const candidates: Record<string, () => Parts<Part>> = {
    ours: candidate("ours", bench.bin, (number) => way.ours(store, number)),
  };
  for (const reference of way.references()) {
    candidates[reference.label] = orLeftOut(
      `${size} ADDs at once, ${way.name}, ${reference.label}`,
      candidate(reference.label, reference.bin, (number) => way.theirs(store, { reference, number })),
    );
  }
  const { ours, ...others } = alternate(candidates, bench);
  return Object.entries(parts).flatMap(([part, title]): Figure[] => {
    const own = ours?.[part as Part];
    if (own === undefined) return [];
    const compared = Object.entries(others).flatMap(([label, taken]): [string, Summary][] => {
      const summary = taken[part as Part];
      return summary === undefined ? [] : [[label, summary]];
    });
    const name = `${size} at once, ${way.name}: ${title}`;
    return [{ group: "Bursts", name, unit: "ms", ours: own, others: Object.fromEntries(compared) }];
  });
}

function burst(network: Network, size: number): Record<Part, number> {
  const attachments = Array.from({ length: size }, (_, at) => network.attachment(at));
  const took = together(network, { verb: "ADD", attachments, atOnce: size });
  together(network, { verb: "DEL", attachments, atOnce: size });
  const ms = took.map((one) => one.ms);
  const cpu = took.reduce((sum, { cpuMs }) => sum + cpuMs, 0) / size;
  return { p50: quantile(ms, 0.5), p99: quantile(ms, 0.99), cpu };
}
