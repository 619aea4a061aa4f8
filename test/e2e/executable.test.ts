import { spawnSync } from "node:child_process";
import {
  closeSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { architectures, isNative } from "../../scripts/lib/architecture.ts";
import { dist } from "../../scripts/lib/paths.ts";
import { runner } from "../../scripts/lib/try-version.ts";
import { linkNames } from "../../src/cli/bin-directory.ts";
import { plugins } from "../../src/plugins/index.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const bin = join(dist, "cni");
const types = linkNames(Object.keys(plugins).sort());

function version(argv: readonly string[], options: { env?: Record<string, string>; cwd?: string } = {}) {
  const [program = "", ...parameters] = argv;
  const env = { CNI_COMMAND: "VERSION", ...options.env };
  const { status, stdout, stderr } = spawnSync(program, parameters, {
    input: '{"cniVersion":"1.1.0"}',
    encoding: "utf8",
    timeout: 60_000,
    ...options,
    env,
  });
  return { status, stdout, stderr };
}

describe("dist/cni", () => {
  it("holds the executable, a relative link for each plugin type, and podlink.lib", () => {
    expect(readdirSync(bin).sort()).toEqual([...types, "podlink", "podlink.lib"].sort());
    for (const type of types) expect(readlinkSync(join(bin, type))).toBe("podlink");
    expect(statSync(join(bin, "podlink")).mode & 0o777).toBe(0o755);
    expect(readdirSync(join(bin, "podlink.lib"))).toEqual(
      expect.arrayContaining(["LICENSE", "LICENSE.libatomic", "LICENSE.node", "LICENSE.valibot", "README", "libatomic.so.1"]),
    );
    expect(lstatSync(join(bin, "podlink.lib/libatomic.so.1")).isFile()).toBe(true);
  });

  it.each(types)("%s answers VERSION in an empty environment, with nothing on stderr", (type) => {
    const { status, stdout, stderr } = version([join(bin, type)], { cwd: "/" });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(JSON.parse(stdout).supportedVersions).toEqual(["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]);
  });

  it("takes libatomic from beside it, also when called through a link from elsewhere", () => {
    const directory = mkdtempSync(join(tmpdir(), "podlink-link-"));
    try {
      symlinkSync(join(bin, "podlink"), join(directory, "bridge"));
      const { status, stderr } = version([join(directory, "bridge")], { env: { LD_DEBUG: "libs" } });
      expect(status).toBe(0);
      expect(stderr).toContain(`calling init: ${join(bin, "podlink.lib/libatomic.so.1")}`);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it.each([
    ["NODE_OPTIONS", "--require /nowhere.js --no-such-option"],
    ["OPENSSL_CONF", "/nowhere/openssl.cnf"],
    ["NODE_CHANNEL_FD", "77"],
    ["UV_THREADPOOL_SIZE", "nonsense"],
  ])("is not moved by %s=%s", (name, value) => {
    const plain = version([join(bin, "bridge")]);
    expect(version([join(bin, "bridge")], { env: { [name]: value } })).toEqual(plain);
  });
});

describe("a stdout that takes nothing", () => {
  it("is a failure without a stack trace", () => {
    const full = openSync("/dev/full", "w");
    try {
      const { status, stderr } = spawnSync(join(bin, "bridge"), [], {
        env: { CNI_COMMAND: "VERSION" },
        encoding: "utf8",
        stdio: ["ignore", full, "pipe"],
      });
      expect({ status, stderr }).toEqual({ status: 1, stderr: "" });
    } finally {
      closeSync(full);
    }
  });
});

describe("stdin", () => {
  it("is not waited for where it is a terminal or another device", () => {
    const zeros = openSync("/dev/zero", "r");
    try {
      const { status, stdout } = spawnSync(join(bin, "bridge"), [], {
        env: { CNI_COMMAND: "VERSION" },
        stdio: [zeros, "pipe", "pipe"],
        encoding: "utf8",
        timeout: 60_000,
      });
      expect({ status, version: JSON.parse(stdout).cniVersion }).toEqual({ status: 0, version: "1.1.0" });
    } finally {
      closeSync(zeros);
    }
  });
});

describe.each(architectures)("the archive for $name", (architecture) => {
  const archive = join(dist, `podlink-linux-${architecture.name}.tgz`);

  it("holds the same as the directory, owned by root, sorted, of no date", () => {
    const { stdout } = spawnSync("tar", ["--list", "--verbose", "--numeric-owner", "--utc", "--file", archive], {
      encoding: "utf8",
    });
    const lines = stdout.trimEnd().split("\n");
    const names = lines.map((line) => line.replace(/^.* \.\//, "").replace(/( -> .*|\/)$/, ""));
    const directory = isNative(architecture) ? bin : join(dist, `cni-${architecture.name}`);
    expect(names).toEqual(["", ...readdirSync(directory, { recursive: true, encoding: "utf8" }).sort()]);
    for (const line of lines) expect(line).toMatch(/^[-dl]rwx?[-rwx]* 0\/0 +\d+ 1970-01-01 00:00 /);
  });
});

const emulated = await Promise.all(
  architectures
    .filter((architecture) => !isNative(architecture))
    .map(async (architecture) => {
      const prefix = await runner(architecture);
      const title = `the executable for ${architecture.name}${prefix === undefined ? ` (needs ${architecture.emulator})` : ""}`;
      return { name: architecture.name, prefix, title };
    }),
);

describe.each(emulated)("$title", ({ name, prefix }) => {
  it.skipIf(prefix === undefined)("answers VERSION under an emulator, with its own libatomic", () => {
    const { status, stdout, stderr } = version([...(prefix ?? []), join(dist, `cni-${name}`, "bridge")]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(JSON.parse(stdout).supportedVersions).toContain("1.1.0");
  });
});

describe("host-local, where there are thousands of leases", () => {
  it("leases, notices another writer and collects what is stale, with machine code made of its loops", () => {
    const dataDir = temporaryDirectory();
    const directory = join(dataDir, "net1");
    mkdirSync(directory);
    const addresses = Array.from({ length: 8000 }, (_, at) => `10.90.${(at + 2) >> 8}.${(at + 2) & 255}`);
    const idOf = (address: string): string => `container-${address}`;
    for (const address of addresses) writeFileSync(join(directory, address), `${idOf(address)}\r\neth0`);
    const ipam = { type: "host-local", dataDir, ranges: [[{ subnet: "10.90.0.0/16" }]] };
    const call = (command: string, more: Record<string, unknown> = {}) => {
      const who = command === "GC" ? {} : { CNI_CONTAINERID: "late", CNI_IFNAME: "eth0", CNI_NETNS: "/run/netns/none" };
      return spawnSync(join(bin, "host-local"), {
        input: JSON.stringify({ cniVersion: "1.1.0", name: "net1", type: "bridge", ipam, ...more }),
        env: { CNI_COMMAND: command, CNI_PATH: bin, PODLINK_LOG: "off", ...who },
        encoding: "utf8",
      });
    };
    const leased = () => readdirSync(directory).filter((name) => name.startsWith("10."));
    expect(JSON.parse(call("ADD").stdout)).toMatchObject({ ips: [{ address: "10.90.31.66/16" }] });
    writeFileSync(join(directory, "10.90.31.67"), "foreign\r\neth0");
    expect(call("DEL")).toMatchObject({ status: 0, stderr: "" });
    expect(JSON.parse(call("ADD").stdout)).toMatchObject({ ips: [{ address: "10.90.31.68/16" }] });
    const kept = addresses.filter((_, at) => at % 1000 !== 0);
    const attachments = kept.map((address) => ({ containerID: idOf(address), ifname: "eth0" }));
    expect(call("GC", { "cni.dev/valid-attachments": attachments })).toMatchObject({ status: 0, stdout: "", stderr: "" });
    expect(leased().sort()).toEqual(kept.sort());
  });
});
