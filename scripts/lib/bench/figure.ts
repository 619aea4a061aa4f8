import type { Effort, Summary } from "./measure.ts";

/** Parts of the table, in their order. */
export const groups = ["Start", "ADD", "CHECK", "DEL", "Leases", "Bursts", "Many containers", "Traffic", "Size"] as const;

/** What is measured; of a rate more is better, of all else less. */
export type Unit = "ms" | "MB" | "KB" | "connections/s" | "Gbit/s";

/** One row of the table: what podlink takes, and what others take for the same, in the same run. */
export interface Figure {
  readonly group: (typeof groups)[number];
  readonly name: string;
  readonly unit: Unit;
  readonly ours: Summary;
  /** By what it is: a version of the reference; or something of our own, where `ownMeasure` is set. The best of them counts. */
  readonly others: Readonly<Record<string, Summary>>;
  /** The others are not the reference: podlink is compared with itself. */
  readonly ownMeasure?: boolean;
  /** What it should be at most: the ratio, or our own median where there is nothing to compare with. */
  readonly goal?: number;
}

/** What a row is given. */
export interface Bench extends Effort {
  /** The directory that was built, for this machine. */
  readonly bin: string;
  /** A directory for stores and logs, which goes afterwards. */
  readonly scratch: string;
}

/** A measurement that gives some rows of the table. */
export type Row = (bench: Bench) => Figure[] | Promise<Figure[]>;

const rates: ReadonlySet<Unit> = new Set(["connections/s", "Gbit/s"]);

export interface Compared {
  readonly against: string;
  readonly best: Summary;
  /** Ours by theirs, for a rate theirs by ours: below 1 podlink is better. */
  readonly ratio: number;
}

/** Against the best of the others, or nothing when there is none. */
export function compare({ unit, ours, others }: Figure): Compared | undefined {
  const isRate = rates.has(unit);
  const sorted = Object.entries(others).sort(([, a], [, b]) => (isRate ? b.median - a.median : a.median - b.median));
  const [against, best] = sorted[0] ?? [];
  if (against === undefined || best === undefined) return undefined;
  return { against, best, ratio: isRate ? best.median / ours.median : ours.median / best.median };
}

/** What a goal is set for. */
export function reached(figure: Figure): number {
  return compare(figure)?.ratio ?? figure.ours.median;
}

/** Something that is the same at each look, such as a file's size. */
export function constant(value: number): Summary {
  return { median: value, low: value, high: value, samples: 1 };
}
