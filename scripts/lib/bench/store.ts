import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Bench, Figure } from "./figure.ts";
import { alternate, type Parts, type Summary } from "./measure.ts";
import { succeeded } from "./network.ts";
import { references } from "./reference.ts";
import { ended, start } from "./spawn.ts";

const sizes = [0, 1000, 10_000, 60_000] as const;
const LARGEST = 60_000;

/** How much longer than in an empty store. */
const MOST_GROWTH = 1.2;

/** Of the reference's time, with 60,000 leases; GC of its DEL, as it has no GC. */
const goals = { ADD: 0.1, "ADD after a foreign one": 0.2, GC: 0.2 } as const;

const verbs = ["ADD", "DEL", "DEL of an unknown id", "ADD after a foreign one", "GC"] as const;
type Verb = (typeof verbs)[number];

/** What the reference's verb is, where it is another one. */
const theirVerb: Partial<Record<Verb, Verb>> = { "ADD after a foreign one": "ADD", GC: "DEL" };

type Measured = Readonly<Record<string, Partial<Record<Verb, Summary>>>>;

/** host-local alone on stores of several sizes, ours and the reference's, each upon a store of its own. */
export function storeRow(bench: Bench): Figure[] {
  const bySize = new Map(sizes.map((size) => [size, measure(bench, size)]));
  const ours = (verb: Verb, size: number): Summary | undefined => bySize.get(size as 0)?.ours?.[verb];
  const compared = verbs.flatMap((verb) =>
    sizes.flatMap((size): Figure[] => {
      const own = ours(verb, size);
      if (own === undefined) return [];
      const { ours: _, ...theirs } = bySize.get(size) ?? {};
      const others = Object.entries(theirs).flatMap(([label, taken]): [string, Summary][] => {
        const found = taken[theirVerb[verb] ?? verb];
        return found === undefined ? [] : [[label, found]];
      });
      const name = `host-local, ${size.toLocaleString("en")} leases: ${verb}${verb === "GC" ? " against DEL" : ""}`;
      const goal = size === LARGEST && verb in goals ? { goal: goals[verb as keyof typeof goals] } : {};
      return [{ group: "Leases", name, unit: "ms", ours: own, others: Object.fromEntries(others), ...goal }];
    }),
  );
  const growth = verbs.slice(0, 3).flatMap((verb): Figure[] => {
    const [few, many] = [ours(verb, 0), ours(verb, LARGEST)];
    if (few === undefined || many === undefined) return [];
    const name = `host-local, ${LARGEST.toLocaleString("en")} leases: ${verb} against podlink with none`;
    const others = { "podlink with none": few };
    return [{ group: "Leases", name, unit: "ms", ours: many, others, ownMeasure: true, goal: MOST_GROWTH }];
  });
  return [...compared, ...growth];
}

function measure(bench: Bench, size: number): Measured {
  const names: string[] = [];
  const candidate = (label: string, bin: string, isOurs: boolean) => {
    names.push(`${label}-${size}`);
    return round(bench, { name: `${label}-${size}`, bin, size, isOurs });
  };
  const candidates = Object.fromEntries(references().map(({ label, bin }) => [label, candidate(label, bin, false)]));
  const measured = alternate<string, Verb>({ ours: candidate("ours", bench.bin, true), ...candidates }, bench);
  for (const name of names) rmSync(join(bench.scratch, name), { recursive: true });
  return measured;
}

/** One call of each verb; the foreign ADD is played by writing its file. */
function round({ scratch }: Bench, options: { name: string; bin: string; size: number; isOurs: boolean }): () => Parts<Verb> {
  const { name, bin, size, isOurs } = options;
  const dataDir = join(scratch, name);
  const dir = join(dataDir, "net1");
  fill(dir, size);
  const ipam = { type: "host-local", dataDir, ranges: [[{ subnet: "10.90.0.0/16" }]] };
  const config = { cniVersion: "1.1.0", name: "net1", type: "bench", ipam };
  const old = { ...config, cniVersion: "1.0.0" };
  const run = (verb: string, containerId: string, input: object = old): number => {
    const who = { CNI_CONTAINERID: containerId, CNI_IFNAME: "eth0", CNI_NETNS: "/run/netns/none" };
    const env = { CNI_COMMAND: verb, CNI_PATH: bin, PODLINK_LOG: join(scratch, "log"), ...(verb === "GC" ? {} : who) };
    const command = { program: join(bin, "host-local"), env, input: JSON.stringify(input) };
    return succeeded(command, ended([start(command)]).outcome).ms;
  };
  const valid = Array.from({ length: size }, (_, i) => ({ containerID: idOf(i), ifname: "eth0" }));
  let foreign = 0;
  return () => {
    const both = { ADD: run("ADD", "bench"), DEL: run("DEL", "bench"), "DEL of an unknown id": run("DEL", "nobody") };
    if (!isOurs) return both;
    writeFileSync(join(dir, `10.90.254.${foreign++ % 250}`), "foreign\r\neth0");
    const after = run("ADD", "bench");
    run("DEL", "bench");
    run("DEL", "foreign");
    const GC = run("GC", "", { ...config, "cni.dev/valid-attachments": valid });
    return { ...both, "ADD after a foreign one": after, GC };
  };
}

const idOf = (i: number) => `c${String(i).padStart(63, "0")}`;

function fill(dir: string, size: number): void {
  mkdirSync(dir, { recursive: true });
  for (let i = 0; i < size; i++) {
    const address = `10.90.${(i + 2) >> 8}.${(i + 2) & 255}`;
    writeFileSync(join(dir, address), `${idOf(i)}\r\neth0`, { mode: 0o600 });
  }
}
