import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./run.ts";

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** apt with its own sources, lists and cache below a directory: suites of Debian that this machine, which stays as it is, does not have. */
export interface Apt {
  readonly directory: string;
  /** Runs apt-get in a new directory. @returns the files that it left there */
  download(...parameters: string[]): Promise<string[]>;
  /** Runs apt-cache. @returns what it printed */
  look(...parameters: string[]): Promise<string>;
}

/**
 * Asks the mirror for the lists of these suites of Debian's main archive.
 * @param options.source suites to have the source packages of
 * @throws Error when the mirror does not answer or lacks one of the suites
 */
export async function openApt(
  directory: string,
  { binary, source = [] }: { binary: readonly string[]; source?: readonly string[] },
): Promise<Apt> {
  const uri = await mirror();
  const stanza = (types: string, suites: readonly string[]) =>
    [
      `Types: ${types}`,
      `URIs: ${uri}`,
      `Suites: ${suites.join(" ")}`,
      "Components: main",
      ...(existsSync(keyring) ? [`Signed-By: ${keyring}`] : []),
      "",
    ].join("\n");
  const sources = join(directory, "debian.sources");
  for (const path of ["state/lists/partial", "cache/archives/partial"]) mkdirSync(join(directory, path), { recursive: true });
  const stanzas = [stanza("deb", binary), ...(source.length > 0 ? [stanza("deb-src", source)] : [])];
  writeFileSync(sources, stanzas.join("\n"));
  const settings = {
    "Dir::Etc::SourceList": sources,
    "Dir::Etc::SourceParts": "-",
    "Dir::State": join(directory, "state"),
    "Dir::Cache": join(directory, "cache"),
    "Acquire::Languages": "none",
    "APT::Sandbox::User": "root",
  };
  const options = Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
  await run(["apt-get", ...options, "--quiet", "--error-on=any", "update"]);
  return {
    directory,
    async download(...parameters) {
      const cwd = mkdtempSync(join(directory, "download-"));
      await run(["apt-get", ...options, "--quiet", ...parameters], { cwd });
      return readdirSync(cwd).map((file) => join(cwd, file));
    },
    look: (...parameters) => run(["apt-cache", ...options, ...parameters]),
  };
}

/** What /etc/os-release says of this machine: `VERSION_CODENAME` is `bookworm`. */
export function osRelease(key: string): string | undefined {
  const text = existsSync("/etc/os-release") ? readFileSync("/etc/os-release", "utf8") : "";
  return new RegExp(`^${key}="?([^"\n]*)`, "m").exec(text)?.[1];
}

/** Where this machine gets Debian's main archive from; one that is no Debian (Ubuntu) asks Debian's own address. */
async function mirror(): Promise<string> {
  if (osRelease("ID") !== "debian") return "http://deb.debian.org/debian";
  const lines = await run(["apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"]);
  // neither updates nor security, whose suites have a hyphen
  const [uri] =
    lines
      .split("\n")
      .map((line) => line.split(" "))
      .find(([, release = "-", component]) => component === "main" && !release.includes("-")) ?? [];
  if (uri === undefined) throw new Error("this machine's apt has no sources");
  return uri;
}
