import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const counted = [
  "openSync",
  "readdirSync",
  "readFileSync",
  "writeFileSync",
  "lstatSync",
  "statSync",
  "readlinkSync",
  "linkSync",
  "symlinkSync",
  "unlinkSync",
  "renameSync",
  "lutimesSync",
] as const;

type Calls = Partial<Record<(typeof counted)[number], number>>;

/** Runs `work` and counts which functions of node:fs it calls how often. */
export function countCalls(work: () => void): Calls {
  const calls: Calls = {};
  const originals = counted.map((name) => [name, fs[name]] as const);
  for (const [name, original] of originals) {
    Object.assign(fs, {
      [name]: (...parameters: unknown[]) => {
        calls[name] = (calls[name] ?? 0) + 1;
        return (original as (...all: unknown[]) => unknown)(...parameters);
      },
    });
  }
  syncBuiltinESMExports();
  try {
    work();
  } finally {
    Object.assign(fs, Object.fromEntries(originals));
    syncBuiltinESMExports();
  }
  return calls;
}
