import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { appendLine } from "../../../src/support/log.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

describe("appendLine", () => {
  it("makes the file for its owner alone, in a directory all may enter", () => {
    const directory = join(temporaryDirectory(), "log");
    const path = join(directory, "podlink.log");
    appendLine("one", { path });
    appendLine("two", { path });
    expect(readFileSync(path, "utf8")).toBe("one\ntwo\n");
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(directory).mode & 0o777).toBe(0o755);
  });

  it("puts a full file aside and keeps so many", () => {
    const directory = temporaryDirectory();
    const path = join(directory, "podlink.log");
    for (let line = 1; line <= 6; line++) appendLine(`line ${line}`, { path, maxBytes: 7, keep: 3 });
    appendLine("x", { path, maxBytes: 7, keep: 3 });
    expect(readdirSync(directory).sort()).toEqual(["podlink.log", "podlink.log.1", "podlink.log.2", "podlink.log.3"]);
    const content = (name: string) => readFileSync(join(directory, name), "utf8");
    expect(["podlink.log", "podlink.log.1", "podlink.log.2", "podlink.log.3"].map(content)).toEqual([
      "x\n",
      "line 6\n",
      "line 5\n",
      "line 4\n",
    ]);
  });

  it("starts anew when none is to be kept", () => {
    const directory = temporaryDirectory();
    const path = join(directory, "podlink.log");
    appendLine("a line", { path, maxBytes: 1, keep: 0 });
    expect(readdirSync(directory)).toEqual([]);
  });

  it("does not fail where nothing can be written", () => {
    const directory = temporaryDirectory();
    const file = join(directory, "file");
    writeFileSync(file, "");
    expect(() => appendLine("x", { path: join(file, "podlink.log") })).not.toThrow();
    mkdirSync(join(directory, "podlink.log"));
    expect(() => appendLine("x", { path: join(directory, "podlink.log") })).not.toThrow();
  });

  it("does not follow a link", () => {
    const directory = temporaryDirectory();
    symlinkSync(join(directory, "target"), join(directory, "podlink.log"));
    appendLine("x", { path: join(directory, "podlink.log") });
    expect(existsSync(join(directory, "target"))).toBe(false);
  });
});
