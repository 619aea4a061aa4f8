import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, cpus, release, tmpdir } from "node:os";
import { join } from "node:path";
import { dist } from "../paths.ts";
import { attachRows } from "./attach.ts";
import { burstRows } from "./burst.ts";
import { type Figure, groups, type Row } from "./figure.ts";
import { librariesRow } from "./libraries.ts";
import { manyRow } from "./many.ts";
import type { Effort } from "./measure.ts";
import { leaveMachine } from "./node.ts";
import { ownShareRow } from "./own-share.ts";
import { references } from "./reference.ts";
import { memoryRow, sizeRow } from "./size.ts";
import { startRow } from "./start.ts";
import { storeRow } from "./store.ts";

/** All measurements by the names that `--only` chooses from. To add one, write a function of type Row and list it. */
const rows: Readonly<Record<string, Row>> = {
  "start: floor, VERSION, STATUS": startRow,
  "own share of a call": ownShareRow,
  ...attachRows,
  "host-local alone": storeRow,
  ...burstRows,
  "many containers, traffic": manyRow,
  "peak memory": memoryRow,
  "size on disk": sizeRow,
  "libraries left out": librariesRow,
};

/** What a run found, and where. */
export interface Results {
  readonly figures: readonly Figure[];
  /** What numbers of another run may not be compared with. */
  readonly machine: string;
  readonly references: readonly string[];
  /** The measurements that failed, with the reason. */
  readonly failed: Readonly<Record<string, string>>;
}

/** Takes the measurements whose names match, one after the other, and tells on stderr where it is. */
export async function measureAll({ only, effort }: { only: RegExp; effort: Effort }): Promise<Results> {
  leaveMachine();
  const scratch = mkdtempSync(join(tmpdir(), "podlink-bench-"));
  const figures: Figure[] = [];
  const failed: Record<string, string> = {};
  try {
    for (const [name, row] of Object.entries(rows).filter(([title]) => only.test(title))) {
      const started = performance.now();
      try {
        figures.push(...(await row({ ...effort, bin: join(dist, "cni"), scratch })));
      } catch (error) {
        failed[name] = error instanceof Error ? (error.stack ?? error.message) : String(error);
      }
      const seconds = ((performance.now() - started) / 1000).toFixed(0);
      console.error(`${name}: ${failed[name] === undefined ? "" : "FAILED, "}${seconds} s`);
    }
  } finally {
    rmSync(scratch, { recursive: true });
  }
  figures.sort((a, b) => groups.indexOf(a.group) - groups.indexOf(b.group));
  const machine = `${availableParallelism()} cores (${cpus()[0]?.model ?? process.arch}), Linux ${release()}`;
  return { figures, machine, references: references().map(({ version }) => version), failed };
}
