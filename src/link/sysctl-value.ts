import { Address } from "../ip/address.ts";

// The kernel reads a sysctl's text and prints what it understood: "4096 87380" with a tab, 0x10 as 16, ::1 in full, 1-2,3 as 1-3.

/** Whether what the kernel shows of the sysctl `key` (`net/…`) is what was wanted; of several words the last may be left out. */
export function sameSysctlValue(key: string, values: { wanted: string; present: string }): boolean {
  const wanted = canonical(key, values.wanted);
  const present = canonical(key, values.present);
  if (wanted.length === 0) return present.length === 0;
  return wanted.every((word, place) => sameWord(key, { word, other: present[place] }));
}

function sameWord(key: string, { word, other }: { word: string; other: string | undefined }): boolean {
  return word === other || Math.abs(Number(word) - Number(other)) <= rounding(key);
}

/** The value on one line, words one space apart. */
export function collapse(text: string): string {
  return text.trim().replace(/\s+/g, " ");
}

function canonical(key: string, text: string): string[] {
  const line = collapse(text);
  if (key.endsWith("_ports")) return [mergeRanges(line)];
  return line === "" ? [] : line.split(" ").map(canonicalWord);
}

function canonicalWord(word: string): string {
  const number = parseNumber(word);
  if (number !== undefined) return number.toString();
  return word.includes(":") ? (Address.tryParse(word)?.toString() ?? word) : word;
}

/** A number as the kernel's strtoul with base 0 reads it, in decimal, octal or hexadecimal. */
function parseNumber(word: string): bigint | undefined {
  const [, sign, digits = ""] = /^([+-]?)(0x[0-9a-f]+|0[0-7]*|[1-9][0-9]*)$/i.exec(word) ?? [];
  if (sign === undefined) return undefined;
  const value = BigInt(/^0[0-7]/.test(digits) ? `0o${digits.slice(1)}` : digits);
  return sign === "-" ? -value : value;
}

/** A list of ports and ranges in the form that the kernel gives it: sorted, what touches joined. */
function mergeRanges(line: string): string {
  if (!/^[\d ,-]*$/.test(line)) return line;
  const ranges = line
    .split(/[ ,]+/)
    .filter((part) => part !== "")
    .map((part) => part.split("-").map(Number) as [number, number?])
    .map(([first, last = first]) => ({ first, last }))
    .sort((one, other) => one.first - other.first);
  const merged: { first: number; last: number }[] = [];
  for (const { first, last } of ranges) {
    const before = merged.at(-1);
    if (before !== undefined && first <= before.last + 1) before.last = Math.max(before.last, last);
    else merged.push({ first, last });
  }
  return merged.map(({ first, last }) => `${first}-${last}`).join(",");
}

/** Times are kept in ticks of the kernel's clock, of which a second has a hundred at least; so much may the value shown differ. */
function rounding(key: string): number {
  if (/(_ms|\/(icmp_|tcp_invalid_)?ratelimit|_unsolicited_report_interval)$/.test(key)) return 9; // in milliseconds
  return /\/neigh\/.*\/(retrans_time|anycast_delay|proxy_delay|locktime)$/.test(key) ? 1 : 0; // in hundredths of a second
}
