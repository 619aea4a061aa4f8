import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { defaultConflist } from "../../../src/cli/default-conflist.ts";
import { fakeShell } from "../../support/fake-shell.ts";

const answer = `#!/bin/sh\n[ "$CNI_COMMAND" = VERSION ] && echo '{"supportedVersions":["1.1.0"]}'\n`;

/** A source directory as it is shipped, with a script for the executable, and a directory to install into. */
function setUp(options: { executable?: string; pluginTypes?: string[] } = {}) {
  const source = fakeShell();
  const pluginTypes = options.pluginTypes ?? ["bridge", "host-local"];
  const shell = fakeShell({ executable: join(source.directory, "podlink"), pluginTypes });
  writeFileSync(join(source.directory, "podlink"), options.executable ?? answer);
  chmodSync(join(source.directory, "podlink"), 0o755);
  mkdirSync(join(source.directory, "podlink.lib"));
  writeFileSync(join(source.directory, "podlink.lib/libatomic.so.1"), "library");
  writeFileSync(join(source.directory, "podlink.lib/README"), "notice");
  return {
    source: source.directory,
    type: shell.type,
    directory: shell.directory,
    bin: join(shell.directory, "bin"),
    conf: join(shell.directory, "net.d"),
  };
}

/** Every file below a directory: content, or link target. */
function treeOf(directory: string): Record<string, string> {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  return Object.fromEntries(
    entries
      .filter((entry) => !entry.isDirectory())
      .map((entry) => {
        const path = join(entry.parentPath, entry.name);
        return [
          path.slice(directory.length + 1),
          entry.isSymbolicLink() ? `-> ${readlinkSync(path)}` : readFileSync(path, "utf8"),
        ];
      }),
  );
}

function ok(typed: { exitCode: number; stdout: string; stderr: string }): string {
  expect([typed.exitCode, typed.stderr]).toEqual([0, ""]);
  return typed.stdout;
}

describe("podlink install", () => {
  it("puts executable, companions and links there, and no configuration unasked", () => {
    const { type, bin, conf } = setUp();
    ok(type("install", "--bin-dir", bin));
    const tree = treeOf(bin);
    expect(Object.keys(tree).sort()).toEqual([
      "bridge",
      "host-local",
      "podlink",
      "podlink.lib/README",
      "podlink.lib/installed.json",
      "podlink.lib/libatomic.so.1",
    ]);
    expect(tree).toMatchObject({
      bridge: "-> podlink",
      "host-local": "-> podlink",
      podlink: answer,
      "podlink.lib/README": "notice",
    });
    expect(statSync(join(bin, "podlink")).mode & 0o777).toBe(0o755);
    expect(existsSync(conf)).toBe(false);
  });

  it("changes nothing the second time", () => {
    const { type, bin, conf } = setUp();
    const once = ["install", "--bin-dir", bin, "--conf-dir", conf];
    ok(type(...once));
    const inodes = () => readdirSync(bin, { recursive: true }).map((name) => [name, lstatSync(join(bin, String(name))).ino]);
    const before = [treeOf(bin), treeOf(conf), inodes()];
    const { stderr } = type(...once, "--explain");
    expect(stderr).toBe("");
    expect([treeOf(bin), treeOf(conf), inodes()]).toEqual(before);
  });

  it("keeps what it replaces, links too, and uninstall brings it back", () => {
    const { type, bin } = setUp();
    mkdirSync(bin);
    writeFileSync(join(bin, "bridge"), "reference");
    chmodSync(join(bin, "bridge"), 0o755);
    symlinkSync("busybox", join(bin, "host-local"));
    writeFileSync(join(bin, "podlink"), "another podlink");
    writeFileSync(join(bin, "portmap"), "not ours");
    const before = treeOf(bin);
    ok(type("install", "--bin-dir", bin));
    expect(treeOf(bin)).toMatchObject({
      bridge: "-> podlink",
      "bridge.podlink-saved": "reference",
      "host-local.podlink-saved": "-> busybox",
      "podlink.podlink-saved": "another podlink",
      portmap: "not ours",
    });
    ok(type("uninstall", "--bin-dir", bin));
    expect(treeOf(bin)).toEqual(before);
    expect(statSync(join(bin, "bridge")).mode & 0o777).toBe(0o755);
    expect(existsSync(join(bin, "podlink.lib"))).toBe(false);
  });

  it("keeps the newest of what others put there between two installations", () => {
    const { type, bin } = setUp();
    mkdirSync(bin);
    writeFileSync(join(bin, "bridge"), "reference 1");
    ok(type("install", "--bin-dir", bin));
    // as a package manager does it
    writeFileSync(join(bin, "bridge.dpkg-new"), "reference 2");
    process.getBuiltinModule("node:fs").renameSync(join(bin, "bridge.dpkg-new"), join(bin, "bridge"));
    ok(type("install", "--bin-dir", bin));
    ok(type("uninstall", "--bin-dir", bin));
    expect(treeOf(bin)).toEqual({ bridge: "reference 2" });
  });

  it("upgrades without saving its own older version, and drops links of types that are gone", () => {
    const old = setUp({ pluginTypes: ["bridge", "older"] });
    mkdirSync(old.bin);
    writeFileSync(join(old.bin, "older"), "reference");
    ok(old.type("install", "--bin-dir", old.bin));
    const running = lstatSync(join(old.bin, "podlink")).ino;
    const next = setUp({ executable: `${answer}# version 2\n` });
    ok(next.type("install", "--bin-dir", old.bin));
    expect(treeOf(old.bin)).toMatchObject({
      podlink: `${answer}# version 2\n`,
      bridge: "-> podlink",
      "host-local": "-> podlink",
      older: "reference",
    });
    expect(lstatSync(join(old.bin, "podlink")).ino).not.toBe(running);
    expect(Object.keys(treeOf(old.bin)).filter((name) => name.includes("saved"))).toEqual([]);
  });

  it("upgrades what was unpacked by hand", () => {
    const { type, bin } = setUp();
    mkdirSync(bin);
    writeFileSync(join(bin, "podlink"), "unpacked");
    symlinkSync("podlink", join(bin, "bridge"));
    ok(type("install", "--bin-dir", bin));
    expect(Object.keys(treeOf(bin)).filter((name) => name.includes("saved"))).toEqual([]);
    expect(treeOf(bin).podlink).toBe(answer);
  });

  it("only links where it already is", () => {
    const { source, type } = setUp();
    expect(ok(type("install", "--bin-dir", source))).toBe(`${source}/bridge: linked\n${source}/host-local: linked\n`);
    expect(treeOf(source)).toMatchObject({ bridge: "-> podlink", podlink: answer });
  });

  it.each([
    ["fails", "#!/bin/sh\necho broken >&2\nexit 1\n", "broken"],
    ["is for another machine", "\x7fELF", "does not run there"],
  ])("leaves the old executable where the new one %s", (_, executable, message) => {
    const { type, bin } = setUp();
    ok(type("install", "--bin-dir", bin));
    const before = treeOf(bin);
    const bad = setUp({ executable });
    const { exitCode, stderr } = bad.type("install", "--bin-dir", bin);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(message);
    expect(stderr).toContain(`Cannot install podlink into "${bin}"`);
    expect(treeOf(bin)).toEqual(before);
  });

  it("leaves nothing behind where the first one does not run", () => {
    const { type, bin } = setUp({ executable: "#!/bin/sh\nexit 1\n" });
    mkdirSync(bin);
    writeFileSync(join(bin, "podlink"), "somebody else's");
    expect(type("install", "--bin-dir", bin).stderr).toContain("exit code 1");
    expect(readdirSync(bin)).toEqual(["podlink"]);
  });

  it("names a directory in the way of a link", () => {
    const { type, bin } = setUp();
    mkdirSync(join(bin, "bridge"), { recursive: true });
    const { exitCode, stderr } = type("install", "--bin-dir", bin);
    expect(exitCode).toBe(1);
    expect(stderr).toContain(`"${join(bin, "bridge")}" is a directory`);
    expect(readdirSync(bin).filter((name) => name.startsWith("."))).toEqual([]);
  });

  it("clears what an installation left that died, when it is old enough", () => {
    const { type, bin } = setUp();
    mkdirSync(bin);
    for (const name of [".podlink.podlink-abc123", ".podlink.podlink-def456", ".hidden"]) writeFileSync(join(bin, name), "");
    utimesSync(join(bin, ".podlink.podlink-abc123"), 1, 1);
    utimesSync(join(bin, ".hidden"), 1, 1);
    ok(type("install", "--bin-dir", bin));
    expect(readdirSync(bin).filter((name) => name.startsWith("."))).toEqual([".hidden", ".podlink.podlink-def456"]);
  });

  it("sets up a network with --conf-dir, and leaves one that is there", () => {
    const { type, bin, conf } = setUp();
    ok(type("install", "--bin-dir", bin, "--conf-dir", conf));
    expect(treeOf(conf)).toEqual({ "10-podlink.conflist": defaultConflist });
    writeFileSync(join(conf, "10-podlink.conflist"), "mine");
    expect(ok(type("install", "--bin-dir", bin, "--conf-dir", conf))).toContain("left as it is");
    expect(treeOf(conf)).toEqual({ "10-podlink.conflist": "mine" });
  });
});

describe("the network that is set up", () => {
  it("is the one in conf/", () => {
    expect(defaultConflist).toBe(readFileSync(new URL("../../../conf/10-podlink.conflist", import.meta.url), "utf8"));
  });
});

describe("podlink uninstall", () => {
  it("removes the configuration it set up, wherever that was", () => {
    const { type, bin, conf } = setUp();
    ok(type("install", "--bin-dir", bin, "--conf-dir", conf));
    ok(type("uninstall", "--bin-dir", bin));
    expect([readdirSync(bin), readdirSync(conf)]).toEqual([[], []]);
  });

  it("leaves an edited configuration, one of somebody else's, and files that are not ours", () => {
    const { type, bin, conf } = setUp();
    ok(type("install", "--bin-dir", bin, "--conf-dir", conf));
    writeFileSync(join(conf, "10-podlink.conflist"), `${defaultConflist}\n`);
    writeFileSync(join(conf, "20-mine.conflist"), defaultConflist);
    writeFileSync(join(bin, "podlink.lib/notes"), "mine");
    writeFileSync(join(bin, "tool"), "mine");
    symlinkSync("elsewhere", join(bin, "other"));
    expect(ok(type("uninstall", "--bin-dir", bin))).toContain("was edited, left as it is");
    expect(treeOf(bin)).toEqual({ "podlink.lib/notes": "mine", tool: "mine", other: "-> elsewhere" });
    expect(Object.keys(treeOf(conf))).toHaveLength(2);
  });

  it("leaves what others put in place of ours", () => {
    const { type, bin } = setUp();
    ok(type("install", "--bin-dir", bin));
    writeFileSync(join(bin, "new"), "reference");
    process.getBuiltinModule("node:fs").renameSync(join(bin, "new"), join(bin, "bridge"));
    ok(type("uninstall", "--bin-dir", bin));
    expect(treeOf(bin)).toEqual({ bridge: "reference" });
  });

  it("takes away what was unpacked by hand", () => {
    const { source, type } = setUp();
    symlinkSync("podlink", join(source, "bridge"));
    ok(type("uninstall", "--bin-dir", source));
    expect(readdirSync(source)).toEqual([]);
  });

  it("does nothing where nothing is, twice", () => {
    const { type, bin } = setUp();
    mkdirSync(bin);
    writeFileSync(join(bin, "podlink"), "somebody else's");
    for (let time = 0; time < 2; time++) expect(ok(type("uninstall", "--bin-dir", bin))).toContain("nothing of podlink here");
    expect(ok(type("uninstall", "--bin-dir", join(bin, "gone")))).toContain("nothing of podlink here");
    expect(treeOf(bin)).toEqual({ podlink: "somebody else's" });
  });
});
