/**
 * Milliseconds of the monotonic clock, which all processes of a machine share.
 * Not `performance.now()`: that loads ten of Node's modules, 2 ms in a process that should take 16.
 */
export function now(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Lets so many milliseconds pass. */
export function pause(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

const DAY_MS = 86_400_000;

/**
 * A time as RFC 3339 has it, in UTC: `2026-01-31T23:59:59.123Z`.
 * Not `Date.toISOString()`, which first reads the local time zone's file and rules, 2 ms in such a process.
 * @param ms since 1970, as Date.now() has it; not before
 */
export function formatUtc(ms: number): string {
  const days = Math.floor(ms / DAY_MS);
  // Counted from 1 March of year 0, so that the leap day is the last of a year (Howard Hinnant, "chrono-compatible low-level date algorithms")
  const shifted = days + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra - Math.floor(dayOfEra / 1460) + Math.floor(dayOfEra / 36_524) - Math.floor(dayOfEra / 146_096)) / 365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const fromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * fromMarch + 2) / 5) + 1;
  const month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9;
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0);
  const rest = ms - days * DAY_MS;
  const [hour, minute, second] = [Math.floor(rest / 3_600_000), Math.floor(rest / 60_000) % 60, Math.floor(rest / 1000) % 60];
  const date = [pad(year, 4), pad(month, 2), pad(day, 2)].join("-");
  return `${date}T${pad(hour, 2)}:${pad(minute, 2)}:${pad(second, 2)}.${pad(Math.floor(rest % 1000), 3)}Z`;
}

function pad(value: number, digits: number): string {
  return String(value).padStart(digits, "0");
}
