import { readFileSync } from "node:fs";
import { getSystemErrorMap } from "node:util";
import { describe, expect, it } from "vitest";
import { errnoName, errnoText, isErrno, SyscallError } from "../../../src/sys/errno.ts";

describe("errno", () => {
  it("has the names that Node has, for every number it knows", () => {
    const ours = Array.from({ length: 134 }, (_, errno) => errno).filter((errno) => !errnoName(errno).startsWith("errno "));
    const theirs = getSystemErrorMap();
    expect(ours.length).toBeGreaterThan(30);
    for (const errno of ours) {
      const known = theirs.get(-errno)?.[0];
      // libuv leaves out what its own calls never answer, and spells EOPNOTSUPP as POSIX does
      if (known !== undefined) expect(errnoName(errno)).toBe(known === "ENOTSUP" ? "EOPNOTSUPP" : known);
    }
  });

  it("says words and name, or the number", () => {
    expect(errnoText(17)).toBe("File exists (EEXIST)");
    expect(errnoText(200)).toBe("errno 200");
    expect(errnoName(200)).toBe("errno 200");
  });

  it("makes errors with code, number and words", () => {
    expect(new SyscallError("setns", 1)).toMatchObject({
      message: "setns: Operation not permitted (EPERM)",
      code: "EPERM",
      errno: 1,
    });
  });

  it("tells errors by name: its own and those of Node's file functions", () => {
    expect(isErrno(new SyscallError("setns", 22), "EPERM", "EINVAL")).toBe(true);
    expect(isErrno(new SyscallError("setns", 22), "EPERM")).toBe(false);
    let missing: unknown;
    try {
      readFileSync("/nonexistent");
    } catch (error) {
      missing = error;
    }
    expect(isErrno(missing, "ENOENT")).toBe(true);
    expect(isErrno(new Error("ENOENT"), "ENOENT")).toBe(false);
    expect(isErrno("ENOENT", "ENOENT")).toBe(false);
    expect(isErrno({ code: "ENOENT" }, "ENOENT")).toBe(false);
  });
});
