import { closeSync, openSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { SyscallError } from "../../../src/sys/errno.ts";
import { libc } from "../../../src/sys/libc.ts";

describe("libc", () => {
  it("answers what the function answers", () => {
    const fd = libc("socket", 1, 1, 0); // AF_UNIX, SOCK_STREAM
    expect(fd).toBeGreaterThan(2);
    closeSync(fd);
  });

  it("throws errno by name and says which call it was", () => {
    let error: unknown;
    try {
      libc("setns", -1, 0);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(SyscallError);
    expect(error).toMatchObject({ message: "setns: Bad file descriptor (EBADF)", code: "EBADF", errno: 9 });
  });

  it("has each failure's own errno, call after call", () => {
    const fd = openSync("/dev/null", "r");
    for (let i = 0; i < 3; i++) {
      expect(() => libc("setns", fd, 0)).toThrow("(EINVAL)");
      expect(() => libc("flock", -1, 2)).toThrow("flock: Bad file descriptor (EBADF)");
      expect(() => libc("umount2", "/nonexistent", 0)).toThrow("(ENOENT)");
    }
    closeSync(fd);
  });
});
