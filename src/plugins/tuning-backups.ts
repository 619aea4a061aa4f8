import { lstatSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Attachment, ValidAttachment } from "../cni/plugin.ts";
import { hostLinkName, networkLinkPrefix } from "../link/names.ts";
import { readState } from "../support/bounded-file.ts";
import { makeDirectories } from "../support/directories.ts";
import { writeDurably } from "../support/durable-file.ts";
import { during, Failures } from "../support/errors.ts";
import { shellWord } from "../support/shell-word.ts";
import type { Steps } from "../support/steps.ts";
import { isErrno } from "../sys/errno.ts";
import { type Backup, formatBackup, parseBackup } from "./tuning-backup.ts";

/**
 * The directory of backups, a file for each attachment, named as the reference does: `<container>_<ifname>.json`. The name says
 * nothing of the network, and with `_` in it may be another attachment's too; what the file says under podlink's key settles both.
 */
export class Backups {
  readonly #directory: string;
  readonly #steps: Steps;

  constructor(directory: string, steps: Steps) {
    this.#directory = directory;
    this.#steps = steps;
  }

  path({ containerId, ifname }: ValidAttachment): string {
    return join(this.#directory, `${containerId}_${ifname}.json`);
  }

  /** The backup of an attachment; also one that does not say whose it is. */
  read(attachment: Attachment): Backup | undefined {
    const backup = read(this.path(attachment));
    const { own } = backup ?? {};
    const foreign =
      own !== undefined &&
      (own.network !== attachment.network || own.containerId !== attachment.containerId || own.ifname !== attachment.ifname);
    return foreign ? undefined : backup;
  }

  /** Replaces the file, whole or not at all. */
  write(attachment: Attachment, backup: Backup): void {
    const path = this.path(attachment);
    const text = formatBackup(backup);
    const content = new TextEncoder().encode(text);
    during(`write backup "${path}"`, () => {
      if (!exists(this.#directory))
        this.#steps.run(`mkdir -p -m 700 ${shellWord(this.#directory)}`, () => makeDirectories(this.#directory, 0o700));
      this.#steps.run(`(umask 077; printf %s ${shellWord(text)} > ${shellWord(path)})`, () =>
        writeDurably(path, content, { mode: 0o600, temporary: this.#temporary(attachment) }),
      );
    });
  }

  /** Removes the file if it is the attachment's, and what a killed call left of writing it. */
  remove(attachment: Attachment): void {
    if (this.read(attachment) !== undefined) this.#removeFile(this.path(attachment));
    this.#removeFile(this.#temporary(attachment));
  }

  /**
   * Removes those of a network that belong to none of the attachments still valid. A file that does not say whose it is stays: the
   * attachment may be another network's, and alive. Goes on after errors and reports all.
   */
  collect(network: string, valid: readonly ValidAttachment[]): void {
    const keep = new Set(valid.flatMap((each) => [this.path(each), this.#temporary({ ...each, network })]));
    const failures = new Failures();
    for (const name of list(this.#directory)) {
      const path = join(this.#directory, name);
      if (keep.has(path)) continue;
      failures.attempt(`remove backup "${path}"`, () => {
        const halfWritten = name.startsWith(`.${networkLinkPrefix(network)}`);
        if (halfWritten || (name.endsWith(".json") && read(path)?.own?.network === network)) this.#removeFile(path);
      });
    }
    failures.throwAny();
  }

  /** Found by its name when the call that writes it is killed; a later one of the attachment writes over it. */
  #temporary(attachment: Attachment): string {
    return join(this.#directory, `.${hostLinkName(attachment)}`);
  }

  #removeFile(path: string): void {
    if (exists(path))
      this.#steps.run(`rm -f ${shellWord(path)}`, () => during(`remove "${path}"`, () => rmSync(path, { force: true })));
  }
}

function read(path: string): Backup | undefined {
  try {
    return parseBackup(readState(path).content.toString("utf8"));
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ENAMETOOLONG")) return undefined;
    if (isErrno(error, "EACCES", "EPERM", "EIO")) throw error;
    return parseBackup(""); // a link to elsewhere, a pipe: damaged, and removed as such
  }
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}

function exists(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    if (isErrno(error, "ENOTDIR", "ENAMETOOLONG")) return false;
    throw error;
  }
}
