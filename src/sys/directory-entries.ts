import { closeSync, constants, openSync } from "node:fs";
import { expectLongLoops } from "./compilers.ts";
import { libc } from "./libc.ts";

// linux_dirent64 of getdents64(2), each at a multiple of 8: d_ino, d_off (8 bytes each), d_reclen (2), d_type (1), d_name with a NUL
const RECORD_LENGTH = 16;
const TYPE = 18;
const NAME = 19;

const DT_LNK = 10;

const DOT = 0x2e;

/** Bytes of a listing that takes longer to walk through than machine code for that takes to make: some 5,000 entries. */
const LARGE = 200_000;

/** How many entries one of two equal directories may lack in one place before the walk through both has lost its way. */
const LOOK_AHEAD = 16;

/**
 * A directory as the kernel lists it, with the inode of each entry, which Node's readdir leaves out. Names stay bytes until they are
 * asked for: of 60,000 entries most are only compared. An entry is known by its place.
 */
export class DirectoryEntries {
  readonly #bytes: Buffer;
  readonly #words: Uint32Array;
  readonly #end: number;

  private constructor(memory: ArrayBuffer, end: number) {
    this.#bytes = Buffer.from(memory);
    this.#words = new Uint32Array(memory);
    this.#end = end;
  }

  /** Lists a directory; a symbolic link is not followed. */
  static read(path: string): DirectoryEntries {
    const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    try {
      let memory = new ArrayBuffer(32_768); // all zeros, as the kernel leaves what is between a name and the next entry
      for (let end = 0; ; ) {
        const length = getdents(fd, new Uint8Array(memory, end));
        if (length === 0) return new DirectoryEntries(memory, end);
        end += length;
        if (end > LARGE) expectLongLoops();
        if (memory.byteLength - end < 8192) memory = memory.transfer(memory.byteLength * 4);
      }
    } finally {
      closeSync(fd);
    }
  }

  /** Places of all entries but `.` and `..`. */
  *[Symbol.iterator](): Generator<number> {
    for (let place = this.#skipDots(0); place < this.#end; place = this.#next(place)) yield place;
  }

  /**
   * Places of the entries that `other` does not have, the other way round too. An entry is the same in inode, kind and name.
   * File systems list equal directories in equal order, or nearly so: that makes it a walk through both, and what differs is compared after.
   */
  differences(other: DirectoryEntries): { mine: number[]; theirs: number[] } {
    const [mine, theirs]: [number[], number[]] = [[], []];
    let place = this.#skipDots(0);
    let match = other.#skipDots(0);
    for (; place < this.#end; place = this.#next(place)) {
      let ahead = match;
      let isSame = this.#isSame(place, other, ahead);
      for (let steps = 1; !isSame && steps < LOOK_AHEAD && ahead < other.#end; steps++) {
        ahead = other.#next(ahead);
        isSame = this.#isSame(place, other, ahead);
      }
      if (isSame) {
        for (; match < ahead; match = other.#next(match)) theirs.push(match);
        match = other.#next(ahead);
      } else mine.push(place);
    }
    for (; match < other.#end; match = other.#next(match)) theirs.push(match);
    if (mine.length === 0 || theirs.length === 0) return { mine, theirs };
    const names = new Map(theirs.map((at) => [other.name(at), at]));
    const isNew = (at: number): boolean => {
      const name = this.name(at);
      const twin = names.get(name);
      if (twin === undefined || !this.#isSame(at, other, twin)) return true;
      names.delete(name);
      return false;
    };
    return { mine: mine.filter(isNew), theirs: [...names.values()] };
  }

  #next(place: number): number {
    return this.#skipDots(place + ((this.#words[(place + RECORD_LENGTH) >> 2] ?? 0) & 0xffff));
  }

  #skipDots(place: number): number {
    const isDots = place < this.#end && this.#bytes[place + NAME] === DOT && /^\.\.?$/.test(this.name(place));
    return isDots ? this.#next(place) : place;
  }

  name(place: number): string {
    return this.#bytes.toString("utf8", place + NAME, this.#bytes.indexOf(0, place + NAME));
  }

  isSymbolicLink(place: number): boolean {
    return this.#bytes[place + TYPE] === DT_LNK;
  }

  #isSame(place: number, other: DirectoryEntries, otherPlace: number): boolean {
    if (otherPlace >= other.#end) return false;
    const mine = this.#words;
    const theirs = other.#words;
    const a = place >> 2;
    const b = otherPlace >> 2;
    if (mine[a] !== theirs[b] || mine[a + 1] !== theirs[b + 1]) return false;
    const end = ((mine[a + (RECORD_LENGTH >> 2)] ?? 0) & 0xffff) >> 2;
    for (let i = RECORD_LENGTH >> 2; i < end; i++) if (mine[a + i] !== theirs[b + i]) return false;
    return true;
  }
}

/** By its number (asm/unistd.h of both machines): glibc has a function of that name from 2.30 on only. */
function getdents(fd: number, bytes: Uint8Array): number {
  return libc("getdents64", fd, bytes, bytes.length);
}
