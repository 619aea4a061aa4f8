import { compare, type Figure, groups, reached } from "./figure.ts";
import type { Summary } from "./measure.ts";

/** The figures as tables of Markdown, a table for each group. */
export function tables(figures: readonly Figure[]): string {
  return groups
    .map((group) => ({ group, some: figures.filter((figure) => figure.group === group) }))
    .filter(({ some }) => some.length > 0)
    .map(({ group, some }) => `**${group}**\n\n${table(some)}`)
    .join("\n\n");
}

/** One table: our median with the tenth and ninetieth percentile, the best of the others with its own, and the ratio. */
export function table(figures: readonly Figure[]): string {
  const head = ["", "podlink", "reference's best", "ratio", "goal", ""];
  const lines = figures.map((figure) => {
    const found = compare(figure);
    const other = found === undefined ? "" : `${summary(found.best)} (${found.against})`;
    return [figure.name, `${summary(figure.ours)} ${figure.unit}`, other, ratio(figure), figure.goal ?? "", verdict(figure)];
  });
  return [head, head.map((_, at) => (at === 0 || at === 5 ? "---" : "---:")), ...lines]
    .map((cells) => `| ${cells.join(" | ")} |`)
    .join("\n");
}

/** Worse than what it is compared with as plainly as better. */
export function verdict(figure: Figure): string {
  const found = compare(figure);
  const comparison = found === undefined || figure.ownMeasure ? [] : [inWords(found.ratio)];
  if (figure.goal === undefined) return comparison.join();
  return [reached(figure) <= figure.goal ? "goal reached" : "**goal missed**", ...comparison].join(", ");
}

/** Two ratios that do not differ by more than a twentieth are the same on a machine that does other things. */
function inWords(value: number): string {
  if (value > 1.05) return `**${factor(value)} times worse**`;
  return value < 0.95 ? `${factor(1 / value)} times better` : "the same";
}

function ratio(figure: Figure): string {
  const found = compare(figure);
  return found === undefined ? "" : factor(found.ratio);
}

/** With two digits that mean something. */
export function factor(value: number): string {
  return value >= 10 ? value.toFixed(0) : value >= 1 ? value.toFixed(2) : value.toPrecision(2);
}

function summary({ median, low, high, samples }: Summary): string {
  return samples === 1 ? number(median) : `${number(median)} [${number(low)}–${number(high)}]`;
}

function number(value: number): string {
  return value >= 1000 ? Math.round(value).toLocaleString("en") : value.toFixed(value >= 100 ? 0 : 1);
}
