/** What was measured of one candidate in all its runs. */
export interface Summary {
  readonly median: number;
  /** Tenth and ninetieth percentile. */
  readonly low: number;
  readonly high: number;
  readonly samples: number;
}

/** Numbers of one run by what they are numbers of: `{ADD: 13.1, DEL: 20.4}`. */
export type Parts<P extends string = string> = Readonly<Partial<Record<P, number>>>;

export interface Effort {
  /** How often each candidate is run at most. */
  readonly rounds: number;
  /** No round begins later than so many seconds after the first, unless there were fewer than five. */
  readonly seconds: number;
}

const LEAST = 5;

/**
 * Runs candidates in turn, every second round in the opposite order, so that whatever else the machine does, and whatever one leaves to the
 * kernel to finish, meets all of them alike; after one round that does not count.
 * @param candidates each makes one run and answers its numbers
 */
export function alternate<K extends string, P extends string>(
  candidates: Readonly<Record<K, () => Parts<P>>>,
  { rounds, seconds }: Effort,
): Record<K, Partial<Record<P, Summary>>> {
  const names = Object.keys(candidates) as K[];
  const samples = new Map<K, Map<P, number[]>>(names.map((name) => [name, new Map()]));
  for (const name of names) candidates[name]();
  const started = performance.now();
  for (let round = 0; round < rounds; round++) {
    if (round >= LEAST && performance.now() - started > seconds * 1000) break;
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const own = samples.get(name);
      for (const [part, value] of Object.entries(candidates[name]()) as [P, number][]) {
        own?.set(part, [...(own.get(part) ?? []), value]);
      }
    }
  }
  const summaries = names.map((name) => [
    name,
    Object.fromEntries([...(samples.get(name) ?? [])].map(([part, values]) => [part, summarize(values)])),
  ]);
  return Object.fromEntries(summaries);
}

export function summarize(samples: readonly number[]): Summary {
  return { median: quantile(samples, 0.5), low: quantile(samples, 0.1), high: quantile(samples, 0.9), samples: samples.length };
}

/** @param share 0.5 is the median */
export function quantile(samples: readonly number[], share: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN;
}
