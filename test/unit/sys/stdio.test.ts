import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, constants, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readAll, writeAll } from "../../../src/sys/stdio.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

function makePipe(): string {
  const path = join(temporaryDirectory(), "pipe");
  execFileSync("mkfifo", [path]);
  return path;
}

const big = "0123456789abcdef".repeat(65_536); // 1 MB: more than a pipe holds

describe("readAll", () => {
  it("reads a file of any size to its end", () => {
    const path = join(temporaryDirectory(), "file");
    for (const content of ["", "x", big]) {
      writeFileSync(path, content);
      const fd = openSync(path, "r");
      expect(new TextDecoder().decode(readAll(fd))).toBe(content);
      closeSync(fd);
    }
  });

  it("waits where a non-blocking descriptor has nothing yet", async () => {
    const path = makePipe();
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = openSync(path, "w");
    const child = spawn("sh", ["-c", "printf hello; printf ' world'"], { stdio: ["ignore", writer, "ignore"] });
    closeSync(writer);
    expect(new TextDecoder().decode(readAll(reader))).toBe("hello world");
    closeSync(reader);
    await once(child, "exit");
  });
});

describe("writeAll", () => {
  it("writes everything into a non-blocking pipe that is read slowly", async () => {
    const path = makePipe();
    const copy = join(temporaryDirectory(), "copy");
    const child = spawn("sh", ["-c", 'cat "$0" >"$1"', path, copy], { stdio: "ignore" });
    const exited = once(child, "exit");
    const writer = openSync(path, "w");
    const nonBlocking = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    closeSync(writer);
    expect(writeAll(nonBlocking, big)).toBe(true);
    closeSync(nonBlocking);
    await exited;
    expect(readFileSync(copy, "utf8")).toBe(big);
  });

  it("does not mind that nobody reads any more, and says so", () => {
    const path = makePipe();
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const writer = openSync(path, "w");
    closeSync(reader);
    expect(writeAll(writer, "unread")).toBe(false);
    closeSync(writer);
  });
});
