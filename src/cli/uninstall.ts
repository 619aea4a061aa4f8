import { readdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { shellWord } from "../support/shell-word.ts";
import { Steps } from "../support/steps.ts";
import { isErrno } from "../sys/errno.ts";
import { executableName, exists, isOurLink, takeAway } from "./bin-directory.ts";
import type { Command } from "./command.ts";
import { defaultConflist, defaultConflistName } from "./default-conflist.ts";
import { explained, explainOption } from "./explain.ts";
import { binDirectoryOption, changing } from "./install.ts";
import { companionsIn, type Manifest, readManifest, readText, removeCompanions } from "./manifest.ts";
import { defaultBinDirectory } from "./network.ts";
import type { Shell } from "./shell.ts";

export const uninstall: Command = {
  name: "uninstall",
  summary: "Take podlink away and bring back what it replaced",
  positionals: [],
  options: {
    "bin-dir": binDirectoryOption,
    "conf-dir": { value: "DIR", text: `where ${defaultConflistName} is (the directory it was installed into)` },
    explain: explainOption,
  },
  notes: "A configuration that was edited stays, and so does every file that podlink did not install.",
  run({ texts, switches }, shell) {
    const steps = new Steps();
    const directory = resolve(shell.cwd, texts["bin-dir"] ?? defaultBinDirectory);
    const confDirectory = texts["conf-dir"] === undefined ? undefined : resolve(shell.cwd, texts["conf-dir"]);
    explained({ switches, shell, steps }, () => {
      changing(directory, { action: "take podlink away from", option: "--bin-dir" }, () => {
        uninstallFrom(directory, { confDirectory, shell, steps });
      });
    });
  },
};

/** The configurations first: a runtime must not be told to use plugins that are gone. */
function uninstallFrom(directory: string, options: { confDirectory: string | undefined; shell: Shell; steps: Steps }): void {
  const { shell, steps } = options;
  const manifest = readManifest(directory);
  const links = ourLinks(directory);
  removeConflists(manifest, options);
  if (manifest === undefined && links.length === 0) {
    shell.out(`${directory}: nothing of podlink here\n`);
    return;
  }
  const executable = join(directory, executableName);
  for (const path of [...links, ...(exists(executable) ? [executable] : [])]) {
    shell.out(`${path}: ${takeAway(path, steps) ? "as before podlink" : "removed"}\n`);
  }
  // unpacked by hand, there is no manifest: then all of it came with us
  removeCompanions(directory, { names: manifest?.companions ?? companionsIn(directory), steps });
}

function removeConflists(
  manifest: Manifest | undefined,
  options: { confDirectory: string | undefined; shell: Shell; steps: Steps },
): void {
  const { confDirectory, shell, steps } = options;
  const known = new Map(manifest?.conflists.map(({ path, content }) => [path, content]));
  if (confDirectory !== undefined) {
    const path = join(confDirectory, defaultConflistName);
    known.set(path, known.get(path) ?? defaultConflist);
  }
  for (const [path, content] of known) {
    const found = readText(path);
    if (found === undefined) continue;
    if (found === content) steps.run(`rm ${shellWord(path)}`, () => rmSync(path));
    shell.out(`${path}: ${found === content ? "removed" : "was edited, left as it is"}\n`);
  }
}

function ourLinks(directory: string): string[] {
  try {
    return readdirSync(directory)
      .sort()
      .map((name) => join(directory, name))
      .filter(isOurLink);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}
