import { appendFileSync, mkdirSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { appendLine } from "../../../src/support/log.ts";
import { LogReader } from "../../../src/support/log-reader.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

describe("LogReader", () => {
  it("reads the files put aside first, oldest first, and none of other names", () => {
    const path = join(temporaryDirectory(), "podlink.log");
    writeFileSync(path, "new\n");
    for (const index of [1, 2, 10]) writeFileSync(`${path}.${index}`, `old ${index}\n`);
    for (const other of [".gz", ".1.gz", "-1", ".01", ".0"]) writeFileSync(`${path}${other}`, "other\n");
    using reader = new LogReader(path);
    expect([...reader.lines()]).toEqual(["old 10", "old 2", "old 1", "new"]);
    expect([...reader.lines()]).toEqual([]);
  });

  it("reads the files beside a link or a directory that is called like one", () => {
    const directory = temporaryDirectory();
    const path = join(directory, "podlink.log");
    writeFileSync(join(directory, "secret"), "secret\n");
    symlinkSync("secret", `${path}.1`);
    mkdirSync(`${path}.2`);
    writeFileSync(path, "new\n");
    using reader = new LogReader(path);
    expect([...reader.lines()]).toEqual(["new"]);
  });

  it("is empty where there is no log, and reads it once it is there", () => {
    const directory = join(temporaryDirectory(), "log");
    const path = join(directory, "podlink.log");
    using reader = new LogReader(path);
    expect([...reader.lines()]).toEqual([]);
    mkdirSync(directory);
    writeFileSync(path, "first\n");
    expect([...reader.lines()]).toEqual(["first"]);
  });

  it("waits for the end of a line, and of a letter", () => {
    const path = join(temporaryDirectory(), "podlink.log");
    const bytes = Buffer.from("größe\n");
    using reader = new LogReader(path);
    const seen = [...bytes].map((byte) => {
      appendFileSync(path, Buffer.from([byte]));
      return [...reader.lines()];
    });
    expect(seen.flat()).toEqual(["größe"]);
    expect(seen.at(-1)).toEqual(["größe"]);
  });

  it("reads on what was left of a file that has been put aside", () => {
    const path = join(temporaryDirectory(), "podlink.log");
    writeFileSync(path, "1\n");
    using reader = new LogReader(path);
    expect([...reader.lines()]).toEqual(["1"]);
    appendFileSync(path, "2\n");
    renameSync(path, `${path}.1`);
    writeFileSync(path, "3\n");
    expect([...reader.lines()]).toEqual(["2", "3"]);
    appendFileSync(`${path}.1`, "late\n"); // by somebody who had opened it before
    expect([...reader.lines()]).toEqual(["late"]);
  });

  it("goes on where a caller stopped", () => {
    const path = join(temporaryDirectory(), "podlink.log");
    writeFileSync(path, "1\n2\n3\n");
    using reader = new LogReader(path);
    for (const line of reader.lines()) if (line === "1") break;
    appendFileSync(path, "4\n");
    expect([...reader.lines()]).toEqual(["2", "3", "4"]);
  });

  it("starts anew in a file that was emptied, and in one made anew", () => {
    const path = join(temporaryDirectory(), "podlink.log");
    writeFileSync(path, "long enough\n");
    using reader = new LogReader(path);
    expect([...reader.lines()]).toEqual(["long enough"]);
    truncateSync(path);
    appendFileSync(path, "2\n");
    expect([...reader.lines()]).toEqual(["2"]);
    rmSync(path);
    writeFileSync(path, "3\n");
    expect([...reader.lines()]).toEqual(["3"]);
  });

  it("reads lines longer than it reads at once", () => {
    const path = join(temporaryDirectory(), "podlink.log");
    const lines = [150_000, 65_535, 65_536, 1, 0].map((length) => "x".repeat(length));
    writeFileSync(path, lines.map((line) => `${line}\n`).join(""));
    using reader = new LogReader(path);
    expect([...reader.lines()]).toEqual(lines);
  });

  it("sees each line once and in order, however often it looks and the log is put aside", () => {
    const rounds = fc.array(fc.nat({ max: 3 }), { maxLength: 12 }); // lines between two looks; with 8 kept files none is lost
    fc.assert(
      fc.property(rounds, fc.integer({ min: 1, max: 12 }), (counts, maxBytes) => {
        const directory = temporaryDirectory();
        const path = join(directory, "podlink.log");
        using reader = new LogReader(path);
        const [written, seen]: [string[], string[]] = [[], []];
        for (const count of counts) {
          for (let i = 0; i < count; i++) {
            written.push(`line ${written.length}`);
            appendLine(written.at(-1) ?? "", { path, maxBytes, keep: 8 });
          }
          seen.push(...reader.lines());
        }
        expect(seen).toEqual(written);
        rmSync(directory, { recursive: true });
      }),
      { numRuns: 50 },
    );
  });
});
