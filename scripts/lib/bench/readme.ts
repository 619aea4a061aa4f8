import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { root } from "../paths.ts";
import { chart } from "./chart.ts";
import { compare } from "./figure.ts";
import type { Results } from "./run.ts";
import { table, tables } from "./table.ts";

const CHART = "docs/bench.svg";
const [BEGIN, END] = ["<!-- npm run bench -->", "<!-- end of npm run bench -->"];

/** Writes the chart, and README.md's section between its two comments. */
export function writeReadme(results: Results): void {
  const chartFile = join(root, CHART);
  mkdirSync(dirname(chartFile), { recursive: true });
  writeFileSync(chartFile, chart(results.figures));
  const file = join(root, "README.md");
  writeFileSync(file, withSection(readFileSync(file, "utf8"), section(results)));
}

/** @throws Error when the two comments are not there */
export function withSection(readme: string, text: string): string {
  const [from, to] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (from < 0 || to < from) throw new Error(`Cannot write the table: README.md lacks "${BEGIN}" or "${END}"`);
  return `${readme.slice(0, from + BEGIN.length)}\n\n${text}\n\n${readme.slice(to)}`;
}

function section({ figures, machine, references }: Results): string {
  const ratios = figures.flatMap((figure) => (figure.ownMeasure ? [] : (compare(figure)?.ratio ?? [])));
  const [better, worse] = [ratios.filter((ratio) => ratio < 0.95).length, ratios.filter((ratio) => ratio > 1.05).length];
  const against = references.length === 0 ? "nothing" : `containernetworking/plugins ${references.join(" and ")}`;
  return `${machine}, against ${against}. Of ${ratios.length} rows podlink is better in ${better} and worse in ${worse}.

![Ratios of podlink to the reference: bars to the right of the line are worse](${CHART})

What was set as a goal:

${table(figures.filter(({ goal }) => goal !== undefined))}

<details><summary>All rows</summary>

${tables(figures)}

</details>`;
}
