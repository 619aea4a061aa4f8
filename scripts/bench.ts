// Measures what podlink promises about speed, `npm run bench [rounds]`: medians of alternating runs on this machine, tenth and ninetieth
// percentile in brackets. Compare numbers of one run with each other, not with another machine's. Exit code 1 when a limit is broken.
// To add a row, write a function of type Row and list it.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bin, type Row } from "./lib/bench/bench.ts";
import { bridgeRow } from "./lib/bench/bridge.ts";
import { chainRow } from "./lib/bench/chain.ts";
import { librariesRow } from "./lib/bench/libraries.ts";
import { manyRow } from "./lib/bench/many.ts";
import { storeRow } from "./lib/bench/store.ts";
import { versionRow } from "./lib/bench/version.ts";

const rows: readonly Row[] = [versionRow, bridgeRow, chainRow, manyRow, storeRow, librariesRow];

const rounds = Number(process.argv[2] ?? 40);
const scratch = mkdtempSync(join(tmpdir(), "podlink-bench-"));
try {
  console.log(`${rounds} alternating runs each`);
  for (const row of rows) {
    for (const { text, within } of await row({ rounds, bin, scratch })) {
      console.log(`${within ? "      " : "OVER  "}${text}`);
      if (!within) process.exitCode = 1;
    }
  }
} finally {
  rmSync(scratch, { recursive: true });
}
