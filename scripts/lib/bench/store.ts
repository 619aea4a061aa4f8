import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Bench, call, type Line } from "./bench.ts";
import { alternate, format, type Summary, summarize } from "./measure.ts";

const sizes = [0, 1000, 10_000, 60_000] as const;

/** How much longer than in an empty store. */
const limit = 1.2;

/** The reference's time, for what has to look at every lease. */
const referenceLimit = 0.2;

/** Debian's containernetworking-plugins, when it is installed. */
const reference = "/usr/lib/cni";

const verbs = ["ADD", "DEL", "DEL of an unknown id", "ADD after a foreign one", "GC"] as const;
type Verb = (typeof verbs)[number];

/** host-local alone on stores of several sizes, ours and the reference's, each upon a store of its own. */
export async function storeRow(bench: Bench): Promise<Line[]> {
  const theirs = existsSync(join(reference, "host-local"));
  const measured = new Map<string, Summary>();
  for (const size of sizes) {
    const times: Record<string, number[]> = {};
    const candidates: Record<string, () => number> = {
      ours: round(bench, { name: `ours-${size}`, bin: bench.bin, size, times }),
    };
    if (theirs) candidates.theirs = round(bench, { name: `theirs-${size}`, bin: reference, size, times });
    // the reference takes half a second a call where the store is large
    alternate(candidates, { rounds: size > 1000 ? Math.ceil(bench.rounds / 4) : bench.rounds });
    for (const [key, samples] of Object.entries(times)) measured.set(key, summarize(samples.slice(1)));
  }
  return verbs.flatMap((verb) => sizes.map((size) => line(measured, verb, size)));
}

function line(measured: ReadonlyMap<string, Summary>, verb: Verb, size: number): Line {
  const own = measured.get(`ours-${size} ${verb}`);
  const empty = measured.get(`ours-0 ${verb}`);
  const del = measured.get(`theirs-${size} ${verb}`) ?? measured.get(`theirs-${size} DEL`);
  const title = `${verb}, ${size} leases`.padEnd(38);
  if (own === undefined || empty === undefined) return { text: `${title} not measured`, within: false };
  const growth = own.median / empty.median;
  const share = del === undefined ? undefined : own.median / del.median;
  const isFlat = verb !== "GC" && verb !== "ADD after a foreign one";
  const within = isFlat ? growth <= limit : size < 60_000 || share === undefined || share <= referenceLimit;
  const most = isFlat ? ` (at most ${limit})` : "";
  const compared = share === undefined ? "" : `, ${share.toFixed(2)} times the reference's`;
  const atMost = isFlat || size < 60_000 ? "" : ` (at most ${referenceLimit})`;
  return { text: `${title} ${format(own)}, ${growth.toFixed(2)} times the empty store's${most}${compared}${atMost}`, within };
}

/** One call of each verb; the foreign ADD is played by writing its file. */
function round({ scratch }: Bench, options: { name: string; bin: string; size: number; times: Record<string, number[]> }) {
  const { name, bin, size, times } = options;
  const dataDir = join(scratch, name);
  const dir = join(dataDir, "net1");
  fill(dir, size);
  const ipam = { type: "host-local", dataDir, ranges: [[{ subnet: "10.90.0.0/16" }]] };
  const config = { cniVersion: "1.1.0", name: "net1", type: "bench", ipam };
  const old = { ...config, cniVersion: "1.0.0" };
  const run = (command: string, containerId: string, input: object = old): number => {
    const who = { CNI_CONTAINERID: containerId, CNI_IFNAME: "eth0", CNI_NETNS: "/run/netns/none" };
    const env = { CNI_COMMAND: command, CNI_PATH: bin, PODLINK_LOG: join(scratch, "log"), ...(command === "GC" ? {} : who) };
    return call(join(bin, "host-local"), { env, input: JSON.stringify(input), argv0: "host-local" }).ms;
  };
  const hasGc = bin !== reference;
  const valid = Array.from({ length: size }, (_, i) => ({ containerID: idOf(i), ifname: "eth0" }));
  let foreign = 0;
  return () => {
    const taken: Partial<Record<Verb, number>> = { ADD: run("ADD", "bench"), DEL: run("DEL", "bench") };
    taken["DEL of an unknown id"] = run("DEL", "nobody");
    writeFileSync(join(dir, `10.90.254.${foreign++ % 250}`), "foreign\r\neth0");
    taken["ADD after a foreign one"] = run("ADD", "bench");
    run("DEL", "bench");
    run("DEL", "foreign");
    if (hasGc) taken.GC = run("GC", "", { ...config, "cni.dev/valid-attachments": valid });
    for (const [verb, ms] of Object.entries(taken)) times[`${name} ${verb}`] = [...(times[`${name} ${verb}`] ?? []), ms];
    return Object.values(taken).reduce((sum, ms) => sum + ms, 0);
  };
}

const idOf = (i: number) => `c${i}`.padEnd(64, "0");

function fill(dir: string, size: number): void {
  mkdirSync(dir, { recursive: true });
  for (let i = 0; i < size; i++) {
    const address = `10.90.${(i + 2) >> 8}.${(i + 2) & 255}`;
    writeFileSync(join(dir, address), `${idOf(i)}\r\neth0`, { mode: 0o600 });
  }
}
