import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { ipam, plainBridge } from "./attach.ts";
import { loadFloor, withProbe } from "./executables.ts";
import type { Bench, Figure } from "./figure.ts";
import { alternate, type Summary } from "./measure.ts";
import { Network, succeeded } from "./network.ts";
import { loadProbe, workProbe } from "./probe.ts";
import { type Command, ended, start } from "./spawn.ts";

/** Most milliseconds for our modules, and for all that a bridge ADD does from JavaScript's first line on. */
const MOST = { modules: 2, add: 6 };

/**
 * What our modules cost a call before it begins (finding and compiling their script and running the top level of each module, libraries
 * included, node:ffi not), and what a bridge ADD takes from the first statement to its end.
 */
export async function ownShareRow(bench: Bench): Promise<Figure[]> {
  const modules = await loading(bench);
  const add = await work(bench);
  const row = { group: "Start", unit: "ms", others: {}, ownMeasure: true } as const;
  return [
    { ...row, name: "compiling and loading our modules", ours: modules, goal: MOST.modules },
    { ...row, name: "a bridge ADD from its first statement to its end", ours: add.total, goal: MOST.add },
    { ...row, name: "… of that in files, kernel and node:ffi", ours: add.outside },
  ];
}

async function loading(bench: Bench): Promise<Summary> {
  const load = (program: string) => {
    const command = { program, env: { CNI_COMMAND: "ADD" }, input: "{}", argv0: "bridge" };
    return () => {
      const { told, at } = probed(command);
      return { compiled: (told.start ?? Number.NaN) - at, evaluated: told.evaluated ?? Number.NaN };
    };
  };
  const { ours, floor } = alternate({ ours: load(await withProbe("load", loadProbe)), floor: load(await loadFloor()) }, bench);
  const base = floor.compiled?.median ?? Number.NaN;
  const sum = (part: "median" | "low" | "high") => (ours.compiled?.[part] ?? 0) - base + (ours.evaluated?.[part] ?? 0);
  return { median: sum("median"), low: sum("low"), high: sum("high"), samples: ours.compiled?.samples ?? 0 };
}

async function work(bench: Bench): Promise<{ total: Summary; outside: Summary }> {
  const program = await withProbe("probed", workProbe);
  // IPAM counts, so CNI_PATH has links to the probed executable itself
  const bin = join(bench.scratch, "bin");
  mkdirSync(bin);
  for (const type of ["bridge", "host-local"]) symlinkSync(program, join(bin, type));
  using network = new Network(bench, { name: "probed", bin, plugins: () => [plainBridge(ipam(bench))] });
  const add = () => {
    const attachment = network.attachment();
    let total = 0;
    let outside = 0;
    for (const verb of ["ADD", "DEL"] as const) {
      const commands = network.commands(verb, attachment);
      const first = commands.next();
      if (first.done === true) continue;
      const outcome = network.node.inside(() => ended([start(first.value)]).outcome);
      commands.next(outcome);
      if (verb === "DEL") continue;
      const told = JSON.parse(outcome.told);
      total = told.own + told.outside;
      outside = told.outside;
    }
    return { total, outside };
  };
  const { total, outside } = alternate({ add }, bench).add;
  if (total === undefined || outside === undefined) throw new Error("a bridge ADD was not measured");
  return { total, outside };
}

function probed(command: Command): { told: Partial<Record<string, number>>; at: number } {
  const process = start(command);
  const outcome = succeeded(command, ended([process]).outcome);
  return { told: JSON.parse(outcome.told), at: process.at };
}
