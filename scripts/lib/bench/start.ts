import { join } from "node:path";
import { ipam, plainBridge } from "./attach.ts";
import { floor, versionCall } from "./executables.ts";
import type { Bench, Figure } from "./figure.ts";
import { alternate, type Summary } from "./measure.ts";
import { succeeded } from "./network.ts";
import { references } from "./reference.ts";
import { type Command, ended, start } from "./spawn.ts";

/** VERSION takes at most so many times what a program of the same Node takes that does nothing. */
const MOST_OVER_FLOOR = 1.25;

/** What a call takes before it does anything: any program, any program of this Node, and the two verbs that change nothing. */
export async function startRow(bench: Bench): Promise<Figure[]> {
  const timed = (command: Command) => () => ({ ms: succeeded(command, ended([start(command)]).outcome).ms });
  const version = (bin: string) => timed({ program: join(bin, "bridge"), ...versionCall });
  const all = references();
  const candidates: Record<string, () => { ms: number }> = {
    anything: timed({ program: "/bin/true", env: {}, input: "" }),
    floor: timed({ program: await floor(bench.bin), ...versionCall }),
    VERSION: version(bench.bin),
    STATUS: timed(status(bench, bench.bin)),
  };
  for (const { label, bin } of all) candidates[`VERSION ${label}`] = version(bin);
  // 1.1.1 knows no STATUS
  const later = all.filter((one) => one.version !== "1.1.1");
  for (const { label, bin } of later) candidates[`STATUS ${label}`] = timed(status(bench, bin));
  const measured = alternate(candidates, bench);
  const of = (name: string): Summary => {
    const ms = measured[name]?.ms;
    if (ms === undefined) throw new Error(`"${name}" was not measured`);
    return ms;
  };
  const others = (verb: string, some = all) => Object.fromEntries(some.map(({ label }) => [label, of(`${verb} ${label}`)]));
  const row = { group: "Start", unit: "ms" } as const;
  return [
    {
      ...row,
      name: "a constant, printed by the same Node's executable",
      ours: of("floor"),
      others: { "/bin/true": of("anything") },
      ownMeasure: true,
    },
    {
      ...row,
      name: "VERSION against that constant",
      ours: of("VERSION"),
      others: { "the constant": of("floor") },
      ownMeasure: true,
      goal: MOST_OVER_FLOOR,
    },
    { ...row, name: "VERSION", ours: of("VERSION"), others: others("VERSION") },
    { ...row, name: "STATUS of bridge", ours: of("STATUS"), others: others("STATUS", later) },
  ];
}

function status(bench: Bench, bin: string): Command {
  const config = { cniVersion: "1.1.0", name: "status", ...plainBridge(ipam(bench)) };
  const env = {
    CNI_COMMAND: "STATUS",
    CNI_PATH: bin,
    PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
    PODLINK_LOG: join(bench.scratch, "log"),
  };
  return { program: join(bin, "bridge"), env, input: JSON.stringify(config) };
}
