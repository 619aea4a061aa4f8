import { closeSync, constants, fstatSync, openSync, readdirSync, readSync } from "node:fs";
import { basename, dirname, join } from "node:path";

const CHUNK_BYTES = 65_536;
const NEWLINE = 10;

interface OpenFile {
  readonly fd: number;
  position: number;
  /** The start of a line whose end is not written yet. */
  rest: Buffer;
}

/**
 * Reads a log that log.ts writes, and the files put aside from it, oldest first. Each `lines` goes on where the one before ended,
 * whatever the files are called by then: they stay open and are known by their inodes. No link is followed, as log.ts follows none, and
 * what else is called like a file put aside is none. Taken with `using`.
 */
export class LogReader implements Disposable {
  readonly #path: string;
  readonly #files = new Map<number, OpenFile>();

  constructor(path: string) {
    this.#path = path;
  }

  /** Whole lines not read yet, without their newlines; none where there is no log. @throws what the file system says, and when the log is no file */
  *lines(): Generator<string> {
    for (const name of this.#names()) {
      const file = this.#open(join(dirname(this.#path), name));
      if (file !== undefined) yield* linesOf(file);
    }
    for (const [inode, { fd }] of this.#files) {
      if (fstatSync(fd).nlink > 0) continue; // not seen this time perhaps, because it was given its next name just then
      this.#files.delete(inode);
      closeSync(fd);
    }
  }

  #names(): string[] {
    const base = basename(this.#path);
    const aside = (name: string) => Number(name.slice(base.length + 1));
    const all = ifThere(() => readdirSync(dirname(this.#path))) ?? [];
    const old = all.filter((name) => name.startsWith(`${base}.`) && /^[1-9]\d*$/.test(name.slice(base.length + 1)));
    return [...old.sort((a, b) => aside(b) - aside(a)), base];
  }

  #open(path: string): OpenFile | undefined {
    const isAside = path !== this.#path;
    const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW;
    const fd = ifThere(() => openSync(path, flags), isAside ? ["ELOOP"] : []);
    if (fd === undefined) return undefined;
    const stat = fstatSync(fd);
    const known = this.#files.get(stat.ino);
    if (known !== undefined || !stat.isFile()) {
      closeSync(fd);
      if (known === undefined && !isAside) throw new Error("it is no regular file");
      return known;
    }
    const file = { fd, position: 0, rest: Buffer.alloc(0) };
    this.#files.set(stat.ino, file);
    return file;
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.#files.values()) closeSync(fd);
    this.#files.clear();
  }
}

function* linesOf(file: OpenFile): Generator<string> {
  if (fstatSync(file.fd).size < file.position) Object.assign(file, { position: 0, rest: Buffer.alloc(0) }); // emptied by somebody
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  for (;;) {
    const length = readSync(file.fd, chunk, 0, chunk.length, file.position);
    if (length === 0) return;
    file.position += length;
    const text = Buffer.concat([file.rest, chunk.subarray(0, length)]);
    let start = 0;
    for (let end = text.indexOf(NEWLINE); end >= 0; end = text.indexOf(NEWLINE, start)) {
      const line = text.toString("utf8", start, end);
      start = end + 1;
      file.rest = text.subarray(start); // before the line is handed over: the caller need not come back
      yield line;
    }
    file.rest = text.subarray(start);
  }
}

/** @param others codes of errors that mean no more than that nothing is there */
function ifThere<T>(work: () => T, others: readonly string[] = []): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof Error && "code" in error && ["ENOENT", "ENOTDIR", ...others].includes(String(error.code)))
      return undefined;
    throw error;
  }
}
