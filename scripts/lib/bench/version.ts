import { join } from "node:path";
import { type Bench, call, type Line, otherExecutable } from "./bench.ts";
import { alternate, format } from "./measure.ts";

const limit = 1.25;

/** VERSION against the same Node's single executable that does nothing but print a constant of the same kind and end as podlink ends. */
export async function versionRow({ rounds, bin }: Bench): Promise<Line[]> {
  const env = { CNI_COMMAND: "VERSION" };
  const input = '{"cniVersion":"1.1.0"}';
  const constant = JSON.stringify(call(join(bin, "bridge"), { env, input }).stdout);
  const floor = await otherExecutable("floor", `"use strict";require("node:fs").writeSync(1,${constant});process.reallyExit(0);`);
  const { constantPrinted, version } = alternate(
    { constantPrinted: () => call(floor, { env, input }).ms, version: () => call(join(bin, "bridge"), { env, input }).ms },
    { rounds },
  );
  const ratio = version.median / constantPrinted.median;
  return [
    { text: `a constant printed            ${format(constantPrinted)}`, within: true },
    {
      text: `VERSION                       ${format(version)}, ${ratio.toFixed(2)} times that (at most ${limit})`,
      within: ratio <= limit,
    },
  ];
}
