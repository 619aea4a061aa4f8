import { mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { findFull, whyNotWritable } from "../../../src/ipam/availability.ts";
import { makeRangeSets } from "../../../src/ipam/range-set.ts";
import { TempStore } from "./temp-store.ts";

describe("whether leases can be written", () => {
  it("is judged by the nearest directory there is", () => {
    using temp = new TempStore({ file: "" });
    expect(whyNotWritable(temp.dir)).toBeUndefined();
    expect(whyNotWritable(join(temp.dir, "to", "be", "made"))).toBeUndefined();
    expect(whyNotWritable(join(temp.dir, "file"))).toBe(`"${temp.dir}/file" is not a directory`);
    expect(whyNotWritable(join(temp.dir, "file", "below"))).toBe(`"${temp.dir}/file" is not a directory`);
    expect(Object.keys(temp.files())).toEqual(["file"]);
  });

  it("is denied by a link to nowhere and by a file system that takes no files", () => {
    using temp = new TempStore();
    symlinkSync("nowhere", join(temp.dir, "dangling"));
    expect(whyNotWritable(join(temp.dir, "dangling", "net1"))).toContain("ENOENT");
    expect(whyNotWritable("/proc/sys/net/podlink")).toMatch(/EACCES|EROFS/);
  });
});

describe("full range sets", () => {
  const sets = makeRangeSets([[{ subnet: "10.1.2.0/29" }], [{ subnet: "fd00::/64" }], [{ subnet: "10.1.3.0/30" }]]);

  it("are those with every address leased", () => {
    fc.assert(
      fc.property(fc.subarray([1, 2, 3, 4, 5, 6, 7]), fc.boolean(), (hosts, small) => {
        const files = Object.fromEntries(hosts.map((host) => [`10.1.2.${host}`, "a\r\neth0"]));
        using temp = new TempStore(small ? { ...files, "10.1.3.2": "b\r\neth0" } : files);
        const full = [2, 3, 4, 5, 6].every((host) => hosts.includes(host));
        expect(findFull(temp.dir, sets).map(String)).toEqual([
          ...(full ? ["10.1.2.1-10.1.2.6"] : []),
          ...(small ? ["10.1.3.1-10.1.3.2"] : []),
        ]);
      }),
      { numRuns: 50 },
    );
  });

  it("do not count what a crash left, but do count a person's note", () => {
    const [, , small] = sets;
    using empty = new TempStore({ "10.1.3.2": "" });
    expect(findFull(empty.dir, small === undefined ? [] : [small])).toEqual([]);
    using noted = new TempStore({ "10.1.3.2": "for the printer" });
    expect(findFull(noted.dir, small === undefined ? [] : [small])).toEqual([small]);
  });

  it("are none where nothing is leased yet", () => {
    using temp = new TempStore();
    expect(findFull(join(temp.dataDir, "absent"), sets)).toEqual([]);
    mkdirSync(join(temp.dataDir, "empty"));
    expect(findFull(join(temp.dataDir, "empty"), sets)).toEqual([]);
  });
});
