import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DirectoryEntries } from "../../../src/sys/directory-entries.ts";

let home = "";
const path = (...names: string[]) => join(home, ...names);

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), "podlink-entries-"));
  mkdirSync(path("a"));
  mkdirSync(path("b"));
});
afterEach(() => rmSync(home, { recursive: true }));

const read = (name: string) => DirectoryEntries.read(path(name));
const names = (entries: DirectoryEntries, places: Iterable<number> = entries) =>
  [...places].map((place) => entries.name(place)).sort();

function differences(): { mine: string[]; theirs: string[] } {
  const [a, b] = [read("a"), read("b")];
  const { mine, theirs } = a.differences(b);
  return { mine: names(a, mine), theirs: names(b, theirs) };
}

describe("a directory's entries", () => {
  it("are all there, of any name and number, but not the dots", () => {
    expect([...read("a")]).toEqual([]);
    const all = [
      ...Array.from({ length: 3000 }, (_, i) => `10.1.${i >> 8}.${i & 255}`),
      "fd00::1",
      ".hidden",
      "..two",
      "é",
    ].sort();
    for (const name of all) writeFileSync(path("a", name), "");
    expect(names(read("a"))).toEqual(all);
  });

  it("know symbolic links", () => {
    symlinkSync("nowhere", path("a", "link"));
    writeFileSync(path("a", "file"), "");
    const entries = read("a");
    expect([...entries].filter((place) => entries.isSymbolicLink(place)).map((place) => entries.name(place))).toEqual(["link"]);
  });

  it("are not looked for behind a link", () => {
    symlinkSync("a", path("link"));
    expect(() => read("link")).toThrow("ENOTDIR");
  });
});

describe("two directories", () => {
  it("differ in files of other names and in other files of one name", () => {
    for (const name of ["same", "gone", "replaced", "renamed"]) {
      writeFileSync(path("b", name), "");
      if (name !== "gone") linkSync(path("b", name), path("a", name === "renamed" ? "new name" : name));
    }
    rmSync(path("a", "replaced"));
    writeFileSync(path("a", "replaced"), "");
    writeFileSync(path("a", "new"), "");
    expect(differences()).toEqual({ mine: ["new", "new name", "replaced"], theirs: ["gone", "renamed", "replaced"] });
  });

  it("differ in what sets differ in, in whatever order they were filled", () => {
    const name = fc.nat(199).map((n) => `10.1.2.${n}`);
    const list = fc.uniqueArray(name, { maxLength: 100 });
    fc.assert(
      fc.property(list, list, list, (both, left, right) => {
        for (const side of ["a", "b"]) rmSync(path(side), { recursive: true });
        for (const side of ["a", "b"]) mkdirSync(path(side));
        for (const one of both) writeFileSync(path("a", one), "");
        for (const one of both.toReversed()) linkSync(path("a", one), path("b", one));
        const mine = left.filter((one) => !both.includes(one)).sort();
        const theirs = right.filter((one) => !both.includes(one)).sort();
        for (const one of mine) writeFileSync(path("a", one), "");
        for (const one of theirs) writeFileSync(path("b", one), "");
        expect(differences()).toEqual({ mine, theirs });
      }),
      { numRuns: 40 },
    );
  });
});
