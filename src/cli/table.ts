import { printable } from "../support/printable.ts";

/** Lines of a table with its columns two spaces apart; the last column is not padded. */
export function formatTable(cells: readonly (readonly string[])[]): string {
  const rows = cells.map((row) => row.map(printable));
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  return rows
    .map(
      (row) => `${row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))).join("  ")}\n`,
    )
    .join("");
}

/** `42s`, `7m`, `3h`, `12d`: two readings of one clock, in milliseconds. A time to come is `0s`. */
export function formatAge(options: { sinceMs: number; nowMs: number }): string {
  const seconds = Math.max(0, Math.floor((options.nowMs - options.sinceMs) / 1000));
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)}h`;
  return `${Math.floor(seconds / 86_400)}d`;
}

/** The whole text, or its start where it is too long to be read anyway (runtimes' container IDs have 64 digits). */
export function shorten(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
