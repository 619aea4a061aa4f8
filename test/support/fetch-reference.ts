import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Apt, openApt } from "../../scripts/lib/apt.ts";
import { cache } from "../../scripts/lib/paths.ts";
import { run } from "../../scripts/lib/run.ts";
import { reason } from "../../src/support/errors.ts";
import { cnitoolProgram, cnitoolSuites, pluginDirectory, pluginSuites } from "./reference.ts";

/** The compiler for all versions of cnitool: unpacked for the build, never installed. */
const go = { suite: "bookworm-backports", version: "1.23" };

/**
 * vitest's global setup of the tests that need them: gets the reference's plugins and cnitool into the cache, where nothing of them is
 * looked at again. Without Debian's mirror they stay away, this says why, and the tests are skipped.
 */
export async function setup(): Promise<void> {
  await fetchMissing({ ...cnitoolSuites });
}

/** The plugins alone. */
export async function fetchPlugins(): Promise<void> {
  await fetchMissing({});
}

async function fetchMissing(wanted: Readonly<Record<string, string>>): Promise<void> {
  const plugins = Object.entries(pluginSuites).filter(([version]) => !existsSync(pluginDirectory(version as "1.9.1")));
  const tools = Object.entries(wanted).filter(([version]) => !existsSync(cnitoolProgram(version as "1.3.0")));
  if (plugins.length + tools.length === 0) return;
  mkdirSync(cache, { recursive: true });
  const work = mkdtempSync(join(cache, "reference-"));
  try {
    const apt = await openApt(work, {
      binary: [...Object.values(pluginSuites), go.suite],
      source: Object.values(wanted),
    });
    for (const [version, suite] of plugins)
      await orSay(`containernetworking-plugins ${version}`, () => getPlugins(apt, { version, suite }));
    if (tools.length > 0) await orSay("cnitool", () => getTools(apt, Object.fromEntries(tools)));
  } catch (error) {
    console.warn(`Cannot ask Debian's mirror for the reference: ${reason(error)}`);
  } finally {
    rmSync(work, { recursive: true });
  }
}

async function orSay(what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    console.warn(`Cannot get ${what}: ${reason(error)}`);
  }
}

async function getPlugins(apt: Apt, { version, suite }: { version: string; suite: string }): Promise<void> {
  const files = await apt.download("download", `containernetworking-plugins/${suite}`);
  const unpacked = await unpack(apt, { files, expected: `containernetworking-plugins_${version}` });
  const directory = pluginDirectory(version as "1.9.1");
  mkdirSync(join(directory, ".."), { recursive: true });
  renameSync(join(unpacked, "usr/lib/cni"), directory);
}

/** A suite may have moved on to another version. */
async function unpack(apt: Apt, { files, expected }: { files: readonly string[]; expected: string }): Promise<string> {
  const directory = mkdtempSync(join(apt.directory, "unpacked-"));
  for (const file of files) {
    if (!file.includes(`/${expected}`)) throw new Error(`expected ${expected}, the mirror has ${file.replace(/.*\//, "")}`);
    await run(
      file.endsWith(".deb")
        ? ["dpkg-deb", "--extract", file, directory]
        : ["tar", "-C", directory, "--strip-components=1", "-xf", file],
    );
  }
  return directory;
}

async function getTools(apt: Apt, versions: Readonly<Record<string, string>>): Promise<void> {
  const packages = ["go", "src"].map((part) => `golang-${go.version}-${part}/${go.suite}`);
  const compiler = await unpack(apt, { files: await apt.download("download", ...packages), expected: `golang-${go.version}-` });
  for (const [version, suite] of Object.entries(versions)) {
    await orSay(`cnitool ${version}`, () => buildTool(apt, { compiler, version, suite }));
  }
}

async function buildTool(apt: Apt, options: { compiler: string; version: string; suite: string }): Promise<void> {
  const { compiler, version, suite } = options;
  // only the source as its authors published it: Debian's own part of a package that is being replaced may be gone already
  const files = await apt.download("source", "--download-only", "--tar-only", `golang-github-appc-cni/${suite}`);
  const source = await unpack(apt, { files, expected: `golang-github-appc-cni_${version}.orig.tar` });
  const path = join(apt.directory, `go-${version}`);
  const parent = join(path, "src/github.com/containernetworking");
  mkdirSync(parent, { recursive: true });
  renameSync(source, join(parent, "cni"));
  const goroot = join(compiler, `usr/lib/go-${go.version}`);
  const env = {
    PATH: process.env.PATH,
    HOME: apt.directory,
    GOROOT: goroot,
    GOPATH: path,
    GOCACHE: join(apt.directory, "go-build"),
    GO111MODULE: "off",
    GOTOOLCHAIN: "local",
    CGO_ENABLED: "0",
  };
  const program = join(path, "cnitool");
  await run([join(goroot, "bin/go"), "build", "-o", program, "github.com/containernetworking/cni/cnitool"], { env });
  mkdirSync(join(cnitoolProgram(version as "1.3.0"), ".."), { recursive: true });
  renameSync(program, cnitoolProgram(version as "1.3.0"));
}
