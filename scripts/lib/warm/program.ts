// Runs the scripts of the executable in this process, as a runtime's calls would, and writes the code cache of each beside it: what was
// called is in it, and nothing else. code-cache.ts starts it, in namespaces of its own.
// usage: program.ts <directory with main.cjs and the scripts it runs>
import { openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Script } from "node:vm";
import { playNode } from "./node.ts";

// by its descriptor: the place may be hidden later
const directory = `/proc/self/fd/${openSync(process.argv[2] ?? "", "r")}`;
const builtin = process.getBuiltinModule;

/** The end of a call, which elsewhere is that of the process. */
class Ended extends Error {}

function end(): never {
  throw new Ended();
}

const known = new Map<string, Script>();

/** node:vm's Script as main.ts uses it: who asks for one a second time is handed the same, with all that was compiled of it since. */
class KnownScript {
  constructor(code: string, { filename }: { filename: string }) {
    const script = known.get(filename) ?? new Script(code, { filename });
    known.set(filename, script);
    // biome-ignore lint/correctness/noConstructorReturn: what is new here is not the script
    return script;
  }
}

/** node:ffi, but for libc's _exit. */
function ffi(): object {
  const { DynamicLibrary, ...rest } = builtin("node:ffi");
  class Library extends DynamicLibrary {
    override getFunction(...parameters: never): never {
      const found = super.getFunction(...(parameters as [never, never]));
      return (parameters[0] === "_exit" ? end : found) as never;
    }
  }
  return { ...rest, DynamicLibrary: Library };
}

const replaced: Readonly<Record<string, object>> = {
  "node:sea": { getAsset: (name: string) => readFileSync(join(directory, name), "utf8"), getAssetKeys: () => [] },
  "node:vm": { Script: KnownScript },
  "node:ffi": ffi(),
};

const main = new Script(`(function(require){${readFileSync(join(directory, "main.cjs"), "utf8")}})`).runInThisContext();

/** The process as the scripts see it: made anew for each call, since a probe of the bench changes it. */
const ownProcess = process;
function processOf(argv0: string, env: NodeJS.ProcessEnv): typeof process {
  const writable = { writable: true };
  return Object.create(ownProcess, {
    argv0: { value: argv0, ...writable },
    env: { value: env, ...writable },
    getBuiltinModule: { value: (name: string) => replaced[name] ?? builtin(name), ...writable },
    reallyExit: { value: end, ...writable },
  });
}

playNode((type, env) => {
  globalThis.process = processOf(type, { ...env });
  try {
    main(globalThis.process.getBuiltinModule);
  } catch (error) {
    if (!(error instanceof Ended)) throw error;
  } finally {
    globalThis.process = ownProcess;
  }
});

for (const [filename, script] of known) writeFileSync(join(directory, `${filename}.cache`), script.createCachedData());
