import { readFileSync, writeFileSync } from "node:fs";
import { run } from "./run.ts";

// V8's header of a code cache, in words of 32 bits (v8/src/snapshot/code-serializer.h, SerializedCodeData): magic number, hashes of the
// version, the source and the flags, checksum of the read-only heap, then the payload's length and checksum.
const VERSION_END = 8;
const FLAGS = 12;
const FLAGS_END = 16;
const HEAP_END = 20;

const printHeader = `process.stdout.write(new (require("node:vm").Script)("").createCachedData().toString("hex", 0, ${HEAP_END}))`;

/** The header of the caches that this Node makes under these flags. */
async function header(flags: readonly string[]): Promise<Buffer> {
  return Buffer.from(await run([process.execPath, ...flags, "--eval", printHeader]), "hex");
}

/**
 * Marks the code caches of Node's own modules, which are in its executable and were made without flags, as made with these: V8 refuses
 * those of other flags, and compiles node:ffi and what it needs anew at each start, 2 ms of an ADD. Only for flags that leave bytecode as it
 * is, as all have it that choose compilers and sizes. Version, source and read-only heap of each cache V8 goes on comparing.
 * @param path an executable of the Node that this process runs
 * @returns how many there were @throws Error when there were none
 */
export async function adoptNodeCaches(path: string, flags: readonly string[]): Promise<number> {
  const [before, after] = await Promise.all([header([]), header(flags)]);
  const start = before.subarray(0, VERSION_END);
  const end = before.subarray(FLAGS, HEAP_END);
  const executable = readFileSync(path);
  let count = 0;
  for (let at = executable.indexOf(start); at >= 0; at = executable.indexOf(start, at + VERSION_END)) {
    if (!executable.subarray(at + FLAGS, at + HEAP_END).equals(end)) continue;
    after.copy(executable, at + FLAGS, FLAGS, FLAGS_END);
    count++;
  }
  if (count === 0)
    throw new Error(`Cannot find code caches of Node ${process.version}'s modules in ${path}: are they in another form now?`);
  writeFileSync(path, executable);
  return count;
}
