import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatLease, isLeaseName, parseLease, readLease } from "../../../src/ipam/lease-file.ts";
import { TempStore } from "./temp-store.ts";

describe("the contents of a lease file", () => {
  it("are the reference's", () => {
    expect(formatLease({ id: "4f1c", ifname: "eth0" })).toBe("4f1c\r\neth0");
  });

  it("are parsed as they are written", () => {
    const id = fc.stringMatching(/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/);
    const ifname = fc.stringMatching(/^[!-.0-9;-~]{1,15}$/);
    fc.assert(
      fc.property(id, ifname, (id, ifname) => {
        expect(parseLease(formatLease({ id, ifname }))).toEqual({ kind: "lease", id, ifname });
      }),
    );
  });

  it.each([
    ["4f1c", { kind: "lease", id: "4f1c" }],
    ["4f1c\n", { kind: "lease", id: "4f1c" }],
    [" 4f1c\r\neth0\n", { kind: "lease", id: "4f1c", ifname: "eth0" }],
    ["", { kind: "damaged" }],
    [" \r\n", { kind: "damaged" }],
    ["\0\0\0\0\0\0", { kind: "damaged" }],
    ["4f1c\r\n\0\0\0\0", { kind: "damaged" }],
    ["\ufffd\ufffd", { kind: "damaged" }],
    ["taken by the printer", { kind: "foreign" }],
    ["4f1c\r\neth0\r\nmore", { kind: "foreign" }],
  ])("%j is %j", (text, content) => {
    expect(parseLease(text)).toEqual(content);
  });

  it("are read from a file, whatever lies there", () => {
    using store = new TempStore({ good: "4f1c\r\neth0", long: `${"x ".repeat(2500)}`, bytes: "" });
    writeFileSync(join(store.dir, "bytes"), Uint8Array.of(0xff, 0xfe, 0x80));
    mkdirSync(join(store.dir, "directory"));
    expect(readLease(join(store.dir, "good"))).toEqual({ kind: "lease", id: "4f1c", ifname: "eth0" });
    expect(readLease(join(store.dir, "long"))).toEqual({ kind: "foreign" });
    expect(readLease(join(store.dir, "bytes"))).toEqual({ kind: "damaged" });
    expect(readLease(join(store.dir, "directory"))).toEqual({ kind: "foreign" });
    expect(readLease(join(store.dir, "absent"))).toBeUndefined();
  });

  it("are read whole, however long a container's id is", () => {
    const owner = { id: "c".repeat(70_000), ifname: "eth0" };
    using store = new TempStore({ long: formatLease(owner) });
    expect(readLease(join(store.dir, "long"))).toEqual({ kind: "lease", ...owner });
  });
});

describe("the name of a lease file", () => {
  it("is any address", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
        expect(isLeaseName(text)).toBe(true);
      }),
    );
  });

  it.each(["lock", "last_reserved_ip.0", ".new", "abc", "README", "10.1.2.3.swp", ""])('is not "%s"', (name) => {
    expect(isLeaseName(name)).toBe(false);
  });
});
