// Measures podlink beside the reference (containernetworking/plugins from Debian), whole processes in turn, on this machine:
//   npm run bench -- [--only PATTERN] [--rounds N] [--seconds N] [--readme]
// prints the tables, and writes .cache/bench.json and .cache/bench.svg; --readme puts them into README.md and docs/. Compare numbers of one run
// with each other, not with another machine's. Exit code 1 when a measurement failed; a goal that was missed is only said.
//   npm run bench -- --from FILE [--readme]    shows what an earlier run wrote
//   npm run bench -- --quick    only holds ratios and counts to their budgets (lib/bench/budgets.ts); exit code 1 when one is exceeded
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { fetchPlugins } from "../test/support/fetch-reference.ts";
import { chart } from "./lib/bench/chart.ts";
import { holdBudgets } from "./lib/bench/quick.ts";
import { writeReadme } from "./lib/bench/readme.ts";
import { measureAll, type Results } from "./lib/bench/run.ts";
import { tables } from "./lib/bench/table.ts";
import { cache } from "./lib/paths.ts";

const { values } = parseArgs({
  options: {
    only: { type: "string", default: "" },
    rounds: { type: "string", default: "25" },
    seconds: { type: "string", default: "12" },
    from: { type: "string" },
    readme: { type: "boolean", default: false },
    quick: { type: "boolean", default: false },
  },
});

async function bench(): Promise<void> {
  if (values.readme && values.only !== "") throw new Error("--readme takes a whole run: ratios of one table are from one run");
  const results = values.from === undefined ? await measure() : (JSON.parse(readFileSync(values.from, "utf8")) as Results);
  const { figures, machine, references, failed } = results;
  console.log(`${machine}; reference ${references.join(", ") || "not to be had"}; median [tenth–ninetieth percentile]`);
  console.log("Ratio: podlink by the reference's best, for rates the other way round; below 1 podlink is better.\n");
  console.log(tables(figures));
  for (const [name, reason] of Object.entries(failed)) console.error(`\n${name} FAILED: ${reason}`);
  if (Object.keys(failed).length > 0) process.exitCode = 1;
  else if (values.readme) writeReadme(results);
}

async function measure(): Promise<Results> {
  await fetchPlugins();
  const effort = { rounds: Number(values.rounds), seconds: Number(values.seconds) };
  const results = await measureAll({ only: new RegExp(values.only, "i"), effort });
  writeFileSync(join(cache, "bench.json"), `${JSON.stringify(results, null, 2)}\n`);
  writeFileSync(join(cache, "bench.svg"), chart(results.figures));
  return results;
}

if (values.quick) process.exitCode = (await holdBudgets()) ? 0 : 1;
else await bench();
