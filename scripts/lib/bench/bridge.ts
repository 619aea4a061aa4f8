import { existsSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { bundle, scriptBanner } from "../bundle.ts";
import { type Bench, call, type Line, otherExecutable, type Probed } from "./bench.ts";
import { alternate, format, summarize } from "./measure.ts";
import { becomeNode, Container } from "./node.ts";
import { loadProbe, workProbe } from "./probe.ts";

const limitMs = 3;

/** Debian's containernetworking-plugins, when it is installed. */
const reference = "/usr/lib/cni";

/** ADD and DEL of type bridge with host-local: whole calls, the loading of our modules, and what is our own of an ADD. */
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
  return [...lines, await loading(bench), await work(bench)];
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
    return { add: add.ms, del: del.ms, probed: add.probed === undefined ? [] : [add.probed] };
  };
}

/**
 * What our modules cost a call before it begins: finding and compiling their script and running the top level of each module, libraries
 * included, node:ffi not; it is the same for every verb.
 */
async function loading(bench: Bench): Promise<Line> {
  const ours = await withProbe("load", loadProbe);
  const floor = await otherExecutable("load-floor", `${loadProbe}require("node:path").basename();`);
  const options = { env: { CNI_COMMAND: "ADD" }, input: "{}", argv0: "bridge" };
  const evaluated: number[] = [];
  const run = () => {
    const { probed } = call(ours, options);
    evaluated.push(probed?.evaluated ?? Number.NaN);
    return probed?.compiled ?? Number.NaN;
  };
  const starts = alternate(
    { ours: run, floor: () => call(floor, options).probed?.compiled ?? Number.NaN },
    { rounds: bench.rounds },
  );
  const compilingMs = starts.ours.median - starts.floor.median;
  const evaluating = summarize(evaluated.slice(1));
  const total = compilingMs + evaluating.median;
  const text = `loading our modules           ${total.toFixed(2)} ms: ${compilingMs.toFixed(2)} compiling, ${format(evaluating)} running their top level (at most ${limitMs})`;
  return { text, within: total < limitMs };
}

/** What a bridge ADD takes from the first statement to the end. IPAM counts, so CNI_PATH has links to the probed executable itself. */
async function work(bench: Bench): Promise<Line> {
  const probed = await withProbe("probed", workProbe);
  const calls = timedCalls(bench, { name: "probed", bin: linked(bench, probed), program: probed });
  const adds: Probed[] = [];
  for (let round = 0; round <= bench.rounds; round++) adds.push(...calls().probed);
  const [own, outside] = (["own", "outside"] as const).map((part) => format(summarize(adds.slice(1).map((add) => add[part]))));
  return { text: `a bridge ADD, loaded and run  ${own} in our code, ${outside} in files, kernel and node:ffi`, within: true };
}

/** The executable with a probe in front of the script that answers for type bridge. */
async function withProbe(name: string, probe: string): Promise<string> {
  const { code, scripts } = await bundle();
  const core = scripts["core-types.cjs"].replace(scriptBanner, () => scriptBanner + probe);
  return otherExecutable(name, code, { ...scripts, "core-types.cjs": core });
}

/** A bin directory in which the IPAM plugin is the probed executable. */
function linked({ scratch }: Bench, program: string): string {
  const directory = join(scratch, "bin");
  mkdirSync(directory);
  for (const type of ["bridge", "host-local"]) symlinkSync(program, join(directory, type));
  return directory;
}
