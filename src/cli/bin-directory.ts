import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { temporaryName } from "../support/durable-file.ts";
import { shellWord } from "../support/shell-word.ts";
import type { Steps } from "../support/steps.ts";

// Putting files into a directory that container runtimes execute from at any moment: a name is never absent, never half
// written, and a running process keeps the file it started from.

export const executableName = "podlink";
/** Shared libraries and licences that travel with the executable. */
export const companionsName = "podlink.lib";

/** The plugin types that are called by a link: all but the one that has the executable's own name. */
export function linkNames(types: readonly string[]): string[] {
  return types.filter((type) => type !== executableName);
}

/** What somebody else's file of a name of ours is called until we go. */
export function savedName(path: string): string {
  return `${path}.podlink-saved`;
}

/** Whether it is a link of ours: relative, to the executable beside it. */
export function isOurLink(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true && readlinkSync(path) === executableName;
}

export function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** With its parents. Not mkdir's own `recursive`: on a read-only file system that says ENOENT. */
export function makeDirectory(path: string, steps: Steps): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  makeDirectory(dirname(path), steps);
  steps.run(`mkdir -m 755 ${shellWord(path)}`, () => mkdirSync(path, { mode: 0o755 }));
}

/**
 * Copies a file to `options.to` by way of a temporary file in that directory; nothing happens when it is there already.
 * @param options.mode permission bits of the copy
 * @param options.test may look at the temporary file, and throws when it should not go live
 * @param options.keepOld puts what is there aside first
 * @returns whether there was anything to do
 */
export function placeFile(
  source: string,
  options: { to: string; mode: number; steps: Steps; keepOld: boolean; test?: (temporary: string) => void },
): boolean {
  const { to, mode, steps } = options;
  if (sameContent(source, to)) return false;
  const temporary = temporaryName(to);
  try {
    steps.run(`install -m ${mode.toString(8)} ${shellWord(source)} ${shellWord(temporary)}`, () => {
      copyFileSync(source, temporary, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
      chmodSync(temporary, mode);
      syncFile(temporary);
    });
    options.test?.(temporary);
    if (options.keepOld) saveOld(to, steps);
    steps.run(`mv ${shellWord(temporary)} ${shellWord(to)}`, () => renameSync(temporary, to));
    return true;
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** Makes a plugin's link, keeping what somebody else put there. @returns whether there was anything to do */
export function placeLink(path: string, steps: Steps): boolean {
  if (isOurLink(path)) return false;
  const temporary = temporaryName(path);
  try {
    steps.run(`ln -s ${executableName} ${shellWord(temporary)}`, () => symlinkSync(executableName, temporary));
    saveOld(path, steps);
    steps.run(`mv -T ${shellWord(temporary)} ${shellWord(path)}`, () => renameSync(temporary, path));
    return true;
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** Takes a file of ours away and brings back what it replaced. @returns whether something came back */
export function takeAway(path: string, steps: Steps): boolean {
  const saved = savedName(path);
  if (exists(saved)) {
    steps.run(`mv -T ${shellWord(saved)} ${shellWord(path)}`, () => renameSync(saved, path));
    return true;
  }
  steps.run(`rm -f ${shellWord(path)}`, () => rmSync(path, { force: true }));
  return false;
}

/** Removes what installations left that died half way: temporary files of ours that nobody has written to for ten minutes. */
export function clearAbandoned(directory: string, options: { nowMs: number; steps: Steps }): void {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    if (!/^\..+\.podlink-[a-z0-9]{1,8}$/.test(name)) continue;
    const stat = lstatSync(path, { throwIfNoEntry: false });
    if (stat?.isDirectory() !== false || options.nowMs - stat.mtimeMs < 600_000) continue;
    options.steps.run(`rm ${shellWord(path)}`, () => rmSync(path, { force: true }));
  }
}

/** A second name for what is there, so that the first one is never absent; an older saved file gives way to it. */
function saveOld(path: string, steps: Steps): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (stat.isDirectory()) throw new Error(`"${path}" is a directory`);
  const temporary = temporaryName(path);
  steps.run(`ln -Pf ${shellWord(path)} ${shellWord(savedName(path))}`, () => {
    linkSync(path, temporary);
    renameSync(temporary, savedName(path));
    rmSync(temporary, { force: true }); // rename(2) leaves it when both names are the same file already
  });
}

function sameContent(left: string, right: string): boolean {
  const a = statSync(left);
  const b = lstatSync(right, { throwIfNoEntry: false });
  if (b === undefined || !b.isFile() || a.size !== b.size || (a.mode & 0o111) !== (b.mode & 0o111)) return false;
  const one = openSync(left, "r");
  const other = openSync(right, "r");
  try {
    const mine = Buffer.allocUnsafe(2 ** 20);
    const theirs = Buffer.allocUnsafe(2 ** 20);
    for (let at = 0; at < a.size; ) {
      const length = readSync(one, mine, 0, mine.length, at);
      if (length === 0 || readSync(other, theirs, 0, length, at) !== length) return false;
      if (mine.compare(theirs, 0, length, 0, length) !== 0) return false;
      at += length;
    }
    return true;
  } finally {
    closeSync(one);
    closeSync(other);
  }
}

function syncFile(path: string): void {
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
