import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { bundle } from "../bundle.ts";
import { run } from "../run.ts";
import { chain, ipam, plainBridge, podlink, withPorts } from "./attach.ts";
import { type Bench, constant, type Figure } from "./figure.ts";
import { alternate, type Summary } from "./measure.ts";
import { Network, type Plugin } from "./network.ts";
import { references, referencesByBackend } from "./reference.ts";
import { ended, start } from "./spawn.ts";

const MB = 2 ** 20;

// getrusage(2) of the children it waited for, asked of a small program: the kernel lets a process inherit the peak of whoever starts it, and
// perl, which every Debian has, is smaller than any plugin
const GETRUSAGE: Readonly<Record<string, number>> = { x64: 98, arm64: 165 };
const askPeak = `
  my $status = system { $ARGV[0] } @ARGV;
  my $usage = "\\0" x 144;
  syscall(${GETRUSAGE[process.arch]}, -1, $usage);
  open(my $told, ">&=", 3);
  print $told unpack("x32 q", $usage);
  exit($status >> 8);`;

/** Peak memory of ADDs: of the largest process that it takes. */
export function memoryRow(bench: Bench): Figure[] {
  const store = ipam(bench);
  const chained = withPorts([podlink(store)], {});
  const bridges = references().map((one) => ({ ...one, plugins: [plainBridge(store)] }));
  const chains = referencesByBackend().map((one) => ({ ...one, plugins: withPorts(chain(store, one), {}) }));
  return [
    memory(bench, { name: "peak memory, ADD of bridge", ours: [plainBridge(store)], theirs: bridges }),
    memory(bench, { name: "peak memory, ADD of bridge + 1 host port + firewall", ours: chained, theirs: chains }),
  ];
}

interface Chains {
  readonly name: string;
  readonly ours: readonly Plugin[];
  readonly theirs: readonly { label: string; bin: string; plugins: readonly Plugin[] }[];
}

function memory(bench: Bench, { name, ours, theirs }: Chains): Figure {
  using stack = new DisposableStack();
  const candidate = (label: string, bin: string, plugins: readonly Plugin[]) => {
    const id = `${name} ${label}`.replaceAll(/[^a-z0-9.]+/g, "-");
    const network = stack.use(new Network(bench, { name: id, bin, plugins: () => plugins }));
    return () => ({ peak: peak(network) });
  };
  const candidates = Object.fromEntries(theirs.map((one) => [one.label, candidate(one.label, one.bin, one.plugins)]));
  const all: Record<string, () => { peak: number }> = { ours: candidate("ours", bench.bin, ours), ...candidates };
  const { ours: own, ...others } = alternate(all, { ...bench, rounds: 5 });
  const compared = Object.entries(others).flatMap(([label, { peak: found }]): [string, Summary][] =>
    found === undefined ? [] : [[label, found]],
  );
  return { group: "Size", name, unit: "MB", ours: own?.peak ?? constant(Number.NaN), others: Object.fromEntries(compared) };
}

/** Of the largest process of an ADD, in MB. */
function peak(network: Network): number {
  const attachment = network.attachment();
  let largest = 0;
  for (const verb of ["ADD", "DEL"] as const) {
    const commands = network.commands(verb, attachment);
    for (let step = commands.next(); step.done !== true; ) {
      const { program, ...rest } = step.value;
      const command = { ...rest, program: "/usr/bin/perl", argv: ["-e", askPeak, program] };
      const outcome = network.node.inside(() => ended([start(command)]).outcome);
      if (verb === "ADD") largest = Math.max(largest, Number(outcome.told) / 1024);
      step = commands.next(outcome);
    }
  }
  return largest;
}

/** What is installed: one executable here, one per type there; and what is compiled for a call. */
export async function sizeRow({ bin }: Bench): Promise<Figure[]> {
  const row = { group: "Size" } as const;
  const theirs = references().map(({ label, bin: directory }) => [label, constant(sizeOf(directory) / MB)]);
  const { code, scripts } = await bundle();
  const stripped = await run(["du", "--bytes", "--summarize", bin]);
  const bundles = { "main.ts": code, ...scripts };
  return [
    {
      ...row,
      name: "all plugins, on disk",
      unit: "MB",
      ours: constant(Number.parseInt(stripped, 10) / MB),
      others: Object.fromEntries(theirs),
    },
    ...Object.entries(bundles).map(([name, text]): Figure => {
      return {
        ...row,
        name: `script ${name}`,
        unit: "KB",
        ours: constant(Buffer.byteLength(text) / 1024),
        others: {},
        ownMeasure: true,
      };
    }),
  ];
}

function sizeOf(directory: string): number {
  return readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
}
