import { closeSync } from "node:fs";
import { describe, expect, it, onTestFinished } from "vitest";
import { libc } from "../../../src/sys/libc.ts";
import { enableNetlinkOption } from "../../../src/sys/socket.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NETLINK_EXT_ACK = 11;

describe("enableNetlinkOption", () => {
  it("tells an option that this kernel does not know, as Linux 4.18 does not know strict checking, and fails no call for it", () => {
    const fd = libc("socket", AF_NETLINK, SOCK_RAW, 0);
    onTestFinished(() => closeSync(fd));
    expect(enableNetlinkOption(fd, NETLINK_EXT_ACK)).toBe(true);
    expect(enableNetlinkOption(fd, 9999)).toBe(false);
  });

  it("fails on what is no socket", () => {
    expect(() => enableNetlinkOption(-1, NETLINK_EXT_ACK)).toThrow("EBADF");
  });
});
