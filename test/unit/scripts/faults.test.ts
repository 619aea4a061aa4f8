import { describe, expect, it } from "vitest";
import { describeFaults, type FaultSum } from "../../../scripts/lib/faults.ts";

const sum: FaultSum = {
  seed: 7,
  types: 2,
  points: 30,
  kills: 90,
  refusals: 150,
  inputs: { "configurations on stdin": 500, "directories of leases": 25 },
  floods: { "leases of the DHCP daemon": 2000 },
};

describe("describeFaults", () => {
  it("tells people how much was tried of what", () => {
    const text = describeFaults(sum);
    for (const words of ["PODLINK_FAULTS_SEED=7", "90 calls killed at 30 changes, 150 refusals", "Hostile inputs: 525"]) {
      expect(text).toContain(words);
    }
    for (const line of ["  2000 leases of the DHCP daemon", "  500 configurations on stdin", "  25 directories of leases"]) {
      expect(text.split("\n")).toContain(line);
    }
  });

  it("tells programs the same in its last line", () => {
    const [, json = ""] = /^faults (.*)$/.exec(describeFaults(sum).split("\n").at(-1) ?? "") ?? [];
    expect(JSON.parse(json)).toEqual(sum);
  });
});
