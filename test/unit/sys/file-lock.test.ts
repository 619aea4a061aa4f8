import { on } from "node:events";
import { readdirSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { FileLock, LockTimeoutError } from "../../../src/sys/file-lock.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

/** How many descriptors of this process are open on a file. */
function openDescriptors(path: string): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path;
    } catch {
      return false; // the descriptor the listing itself used
    }
  }).length;
}

describe("FileLock", () => {
  it("makes the file, with the mode asked for, and keeps it", () => {
    const path = join(temporaryDirectory(), "lock");
    FileLock.acquire(path, { timeoutMs: 0, mode: 0o640 })[Symbol.dispose]();
    expect(statSync(path).mode & 0o777).toBe(0o640);
  });

  it("is held by one at a time and free again at the end of the block", () => {
    const path = join(temporaryDirectory(), "lock");
    {
      using held = FileLock.acquire(path, { timeoutMs: 0 });
      expect(held).toBeInstanceOf(FileLock);
      const text = `Cannot lock "${path}": still held by another process after 0 ms`;
      expect(() => FileLock.acquire(path, { timeoutMs: 0 })).toThrow(new LockTimeoutError(text));
      expect(openDescriptors(path)).toBe(1); // the attempt that failed has closed its own
    }
    expect(openDescriptors(path)).toBe(0);
    using again = FileLock.acquire(path, { timeoutMs: 0 });
    expect(again).toBeInstanceOf(FileLock);
  });

  it("is taken of what is there, of whatever kind, and makes nothing where there is nothing", () => {
    const directory = temporaryDirectory();
    const options = { name: "the directory", timeoutMs: 0 };
    {
      using held = FileLock.acquireExisting(directory, options);
      expect(held).toBeInstanceOf(FileLock);
      const text = 'Cannot lock "the directory": still held by another process after 0 ms';
      expect(() => FileLock.acquireExisting(directory, options)).toThrow(new LockTimeoutError(text));
    }
    FileLock.acquireExisting(directory, options)[Symbol.dispose]();
    expect(() => FileLock.acquireExisting(join(directory, "gone"), options)).toThrow("ENOENT");
    expect(readdirSync(directory)).toEqual([]);
  });

  it("waits for the one who has it", async () => {
    const path = join(temporaryDirectory(), "lock");
    const released = new Int32Array(new SharedArrayBuffer(4));
    const held = FileLock.acquire(path, { timeoutMs: 0 });
    const module = JSON.stringify(new URL("../../../src/sys/file-lock.ts", import.meta.url).href);
    const worker = new Worker(
      `const { parentPort, workerData } = require("node:worker_threads");
       import(${module}).then(({ FileLock }) => {
         let refused;
         try { FileLock.acquire(workerData.path, { timeoutMs: 0 }); } catch (error) { refused = error.message; }
         parentPort.postMessage(refused);
         FileLock.acquire(workerData.path, { timeoutMs: 30_000 })[Symbol.dispose]();
         parentPort.postMessage(Atomics.load(workerData.released, 0));
       });`,
      { eval: true, workerData: { path, released } },
    );
    try {
      const messages = on(worker, "message");
      expect((await messages.next()).value).toEqual([expect.stringMatching(/still held/)]);
      Atomics.store(released, 0, 1);
      held[Symbol.dispose]();
      expect((await messages.next()).value).toEqual([1]);
    } finally {
      await worker.terminate();
    }
  });
});
