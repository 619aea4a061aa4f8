import { existsSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { bundle } from "../bundle.ts";
import { type Bench, call, type Line, otherExecutable } from "./bench.ts";
import { alternate, format, summarize } from "./measure.ts";
import { becomeNode, Container } from "./node.ts";
import { probe } from "./probe.ts";

const limitMs = 3;

/** Debian's containernetworking-plugins, when it is installed. */
const reference = "/usr/lib/cni";

/** ADD and DEL of type bridge with host-local; whole calls, and of ADD what our own modules take. */
export async function bridgeRow(bench: Bench): Promise<Line[]> {
  becomeNode();
  const candidates: Record<string, ReturnType<typeof timedCalls>> = { ours: timedCalls(bench, { name: "ours", bin: bench.bin }) };
  if (existsSync(join(reference, "bridge"))) candidates.theirs = timedCalls(bench, { name: "theirs", bin: reference });
  // One ADD and DEL are one run; the two halves of each are kept
  const add: Record<string, number[]> = {};
  const del: Record<string, number[]> = {};
  const runs = Object.entries(candidates).map(([name, calls]) => {
    const run = () => {
      const taken = calls();
      add[name] = [...(add[name] ?? []), taken.add];
      del[name] = [...(del[name] ?? []), taken.del];
      return taken.add + taken.del;
    };
    return [name, run] as const;
  });
  alternate(Object.fromEntries(runs), { rounds: bench.rounds });
  const lines = [
    { text: `bridge ADD                    ${compared(add)}`, within: true },
    { text: `bridge DEL                    ${compared(del)}`, within: true },
  ];
  return [...lines, await ownModules(bench)];
}

function compared({ ours = [], theirs }: Record<string, number[]>): string {
  const own = summarize(ours.slice(1)); // without the first round, which warms up
  if (theirs === undefined) return `${format(own)}; no reference in ${reference} to compare with`;
  const other = summarize(theirs.slice(1));
  return `${format(own)}, ${(own.median / other.median).toFixed(2)} times the reference's ${format(other)}`;
}

/** Calls that attach and detach one fresh container each time. */
function timedCalls(
  { scratch }: Bench,
  { name, bin, program = join(bin, "bridge") }: { name: string; bin: string; program?: string },
) {
  const ipam = { type: "host-local", dataDir: join(scratch, name), ranges: [[{ subnet: "10.90.8.0/24" }]] };
  const input = JSON.stringify({ cniVersion: "1.0.0", name, type: "bridge", bridge: `${name}0`, isDefaultGateway: true, ipam });
  return () => {
    using container = new Container();
    const identity = { CNI_CONTAINERID: "bench", CNI_NETNS: container.netns, CNI_IFNAME: "eth0", CNI_PATH: bin };
    const env = { ...identity, PODLINK_LOG: join(scratch, "log") };
    const options = { input, argv0: "bridge" };
    const add = call(program, { ...options, env: { ...env, CNI_COMMAND: "ADD" } });
    const del = call(program, { ...options, env: { ...env, CNI_COMMAND: "DEL" } });
    return { add: add.ms, del: del.ms, ownMs: add.probed?.ownMs ?? Number.NaN };
  };
}

/**
 * Compiling and running our bundle in a bridge ADD, libraries included, node:ffi, files and the kernel not (probe.ts).
 * Delegation to IPAM counts, so it must stay in the process: CNI_PATH has links to the probed executable itself.
 */
async function ownModules(bench: Bench): Promise<Line> {
  const { code } = await bundle("src/main.ts");
  const probed = await otherExecutable("probed", probe + code);
  const floor = await otherExecutable(
    "probed-floor",
    `${probe}new (require("node:ffi").DynamicLibrary)(null).getFunction("_exit",{return:"void",arguments:["i32"]})(0);`,
  );
  const calls = timedCalls(bench, { name: "probed", bin: linked(bench, probed), program: probed });
  // Compiling does not depend on the verb, and VERSION leaves no work of the kernel behind that would meet the next call
  const version = { env: { CNI_COMMAND: "VERSION" }, input: '{"cniVersion":"1.1.0"}', argv0: "bridge" };
  const starts = alternate(
    {
      ours: () => call(probed, version).probed?.compiledMs ?? Number.NaN,
      base: () => call(floor, version).probed?.compiledMs ?? Number.NaN,
    },
    { rounds: bench.rounds },
  );
  const { running } = alternate({ running: () => calls().ownMs }, { rounds: bench.rounds });
  const compilingMs = starts.ours.median - starts.base.median;
  const total = compilingMs + running.median;
  const text = `our modules in a bridge ADD   ${total.toFixed(2)} ms: ${compilingMs.toFixed(2)} compiling, ${format(running)} running (at most ${limitMs})`;
  return { text, within: total < limitMs };
}

/** A bin directory in which the IPAM plugin is the probed executable. */
function linked({ scratch }: Bench, program: string): string {
  const directory = join(scratch, "bin");
  mkdirSync(directory);
  for (const type of ["bridge", "host-local"]) symlinkSync(program, join(directory, type));
  return directory;
}
