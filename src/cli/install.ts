import { spawnSync } from "node:child_process";
import { realpathSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { CniError, codes } from "../cni/error.ts";
import { syncDirectory, writeDurably } from "../support/durable-file.ts";
import { reason } from "../support/errors.ts";
import { Steps } from "../support/steps.ts";
import { isErrno } from "../sys/errno.ts";
import {
  clearAbandoned,
  companionsName,
  executableName,
  exists,
  isOurLink,
  linkNames,
  makeDirectory,
  placeFile,
  placeLink,
  takeAway,
} from "./bin-directory.ts";
import type { Command, Option } from "./command.ts";
import { defaultConflist, defaultConflistName } from "./default-conflist.ts";
import { explained, explainOption } from "./explain.ts";
import { companionsIn, type Manifest, readManifest, readText, removeCompanions, teeCommand, writeManifest } from "./manifest.ts";
import { defaultBinDirectory } from "./network.ts";
import type { Shell } from "./shell.ts";

export const binDirectoryOption: Option = {
  value: "DIR",
  text: `where container runtimes look for plugins (${defaultBinDirectory})`,
};

export const install: Command = {
  name: "install",
  summary: "Put podlink and a link per plugin type where container runtimes find them",
  positionals: [],
  options: {
    "bin-dir": binDirectoryOption,
    "conf-dir": { value: "DIR", text: `also put ${defaultConflistName} there, unless there is one` },
    explain: explainOption,
  },
  notes: [
    "What podlink replaces stays beside it as NAME.podlink-saved until uninstall. Calls that run meanwhile are not disturbed.",
    "Without --conf-dir no network is set up: the runtime goes on using the ones it has.",
  ].join("\n"),
  run({ texts, switches }, shell) {
    const steps = new Steps();
    const binDirectory = resolve(shell.cwd, texts["bin-dir"] ?? defaultBinDirectory);
    explained({ switches, shell, steps }, () => {
      changing(binDirectory, { action: "install podlink into", option: "--bin-dir" }, () => {
        installInto(binDirectory, { shell, steps });
      });
      const confDirectory = texts["conf-dir"];
      if (confDirectory !== undefined) {
        const directory = resolve(shell.cwd, confDirectory);
        changing(directory, { action: "set up a network in", option: "--conf-dir" }, () => {
          installConflist(directory, { binDirectory, shell, steps });
        });
      }
    });
  },
};

/** Runs `work`; says what a person can do where the directory cannot be written. @throws CniError 5 */
export function changing(directory: string, doing: { action: string; option: string }, work: () => void): void {
  try {
    work();
  } catch (error) {
    const hints = isErrno(error, "EROFS")
      ? { details: `the directory is read-only here: mount it writable, or name another one with ${doing.option}` }
      : isErrno(error, "EACCES", "EPERM")
        ? { details: `run it as root, or name another directory with ${doing.option}` }
        : error instanceof CniError && error.details !== undefined
          ? { details: error.details }
          : {};
    throw new CniError(codes.ioFailure, `Cannot ${doing.action} "${directory}": ${reason(error)}`, { ...hints, cause: error });
  }
}

/** Companions first (the new executable needs them), the executable, then the links. */
function installInto(binDirectory: string, { shell, steps }: { shell: Shell; steps: Steps }): void {
  const source = dirname(shell.executable);
  const companions = join(binDirectory, companionsName);
  makeDirectory(companions, steps);
  for (const directory of [binDirectory, companions]) clearAbandoned(directory, { nowMs: Date.now(), steps });
  const before = readManifest(binDirectory);
  const names = companionsIn(source);
  const links = linkNames(shell.pluginTypes);
  const manifest = { version: shell.version, companions: names, links, conflists: before?.conflists ?? [] };
  if (realpathSync(binDirectory) !== realpathSync(source)) {
    const wasOurs = before !== undefined || links.some((type) => isOurLink(join(binDirectory, type)));
    for (const name of names) {
      placeFile(join(source, companionsName, name), { to: join(companions, name), mode: 0o644, steps, keepOld: false });
    }
    const to = join(binDirectory, executableName);
    const test = (temporary: string) => tryVersion(temporary, shell);
    try {
      const placed = placeFile(shell.executable, { to, mode: 0o755, steps, keepOld: !wasOurs, test });
      shell.out(`${to}: ${placed ? `version ${shell.version}` : "up to date"}\n`);
    } catch (error) {
      if (!wasOurs) removeCompanions(binDirectory, { names, steps });
      throw error;
    }
  }
  writeManifest(binDirectory, { manifest, steps });
  for (const type of links) {
    const path = join(binDirectory, type);
    if (placeLink(path, steps)) shell.out(`${path}: linked\n`);
  }
  for (const type of before?.links.filter((link) => !links.includes(link)) ?? []) {
    if (isOurLink(join(binDirectory, type))) takeAway(join(binDirectory, type), steps);
  }
  syncDirectory(binDirectory);
}

function installConflist(
  directory: string,
  { binDirectory, shell, steps }: { binDirectory: string; shell: Shell; steps: Steps },
): void {
  const path = join(directory, defaultConflistName);
  if (exists(path)) {
    shell.out(`${path}: ${readText(path) === defaultConflist ? "up to date" : "left as it is"}\n`);
    return;
  }
  makeDirectory(directory, steps);
  const manifest = readManifest(binDirectory);
  if (manifest !== undefined) writeManifest(binDirectory, { manifest: withConflist(manifest, path), steps });
  // by rename inside the directory: containerd does not notice a file that is made there or moved in from elsewhere
  steps.run(teeCommand(path, defaultConflist), () =>
    writeDurably(path, new TextEncoder().encode(defaultConflist), { mode: 0o644 }),
  );
  shell.out(`${path}: set up\n`);
}

function withConflist(manifest: Manifest, path: string): Manifest {
  const others = manifest.conflists.filter((one) => one.path !== path);
  return { ...manifest, conflists: [...others, { path, content: defaultConflist }] };
}

/** Runs VERSION of a file that is not live yet. @throws Error when it does not answer */
function tryVersion(file: string, shell: Shell): void {
  const { error, status, stdout, stderr } = spawnSync(file, [], {
    argv0: linkNames(shell.pluginTypes)[0] ?? executableName,
    env: { CNI_COMMAND: "VERSION" },
    input: '{"cniVersion":"1.1.0"}',
    encoding: "utf8",
  });
  if (status === 0 && stdout.includes("supportedVersions")) return;
  const why = status === null ? (error?.message ?? "it was killed") : stderr.trim() || `exit code ${status}`;
  throw new CniError(codes.ioFailure, `the new executable does not run there: ${why}`, {
    details: "nothing was replaced; is the directory mounted noexec?",
  });
}
