/** What one candidate did in all its runs, in milliseconds. */
export interface Summary {
  readonly median: number;
  /** Tenth and ninetieth percentile. */
  readonly low: number;
  readonly high: number;
}

/**
 * Runs candidates in turn, so that whatever else the machine does meets all of them alike, after one round that does not count.
 * @param candidates each makes one run and answers its milliseconds
 */
export function alternate<K extends string>(
  candidates: Readonly<Record<K, () => number>>,
  { rounds }: { rounds: number },
): Record<K, Summary> {
  const names = Object.keys(candidates) as K[];
  const samples = new Map<K, number[]>(names.map((name) => [name, []]));
  for (const name of names) candidates[name]();
  for (let round = 0; round < rounds; round++) {
    for (const name of names) samples.get(name)?.push(candidates[name]());
  }
  return Object.fromEntries(names.map((name) => [name, summarize(samples.get(name) ?? [])])) as Record<K, Summary>;
}

export function summarize(samples: readonly number[]): Summary {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN;
  return { median: at(0.5), low: at(0.1), high: at(0.9) };
}

/** `14.21 ms (13.9 to 15.0)` */
export function format({ median, low, high }: Summary): string {
  return `${median.toFixed(2)} ms (${low.toFixed(1)} to ${high.toFixed(1)})`;
}
