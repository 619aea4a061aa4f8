/**
 * Prepared in front of a script, measures from inside the process how long our own modules took: from the script's first statement to
 * `_exit`, without the time inside node:fs and node:ffi (the kernel's, and the loading of node:ffi). It writes `{start, own}` to
 * descriptor 3: `own` in milliseconds, `start` as a time of the monotonic clock, which all processes share. The way from the parent's
 * call to `start` has the compiling in it; the same probe in front of a script that does nothing gives the base line for that.
 * What measuring costs counts as ours, and so does the loading of any other module of Node's.
 */
export const probe = `"use strict";
{
  // Not performance.now(), which loads ten modules of Node's
  const now = () => Number(process.hrtime.bigint()) / 1e6;
  const start = now();
  let outside = 0;
  let depth = 0;
  const timed = (work) => function (...parameters) {
    if (depth > 0) return new.target ? Reflect.construct(work, parameters) : Reflect.apply(work, this, parameters);
    depth = 1;
    const began = now();
    try {
      return new.target ? Reflect.construct(work, parameters) : Reflect.apply(work, this, parameters);
    } finally {
      outside += now() - began;
      depth = 0;
    }
  };
  // Getters stay getters: one of node:fs loads a module of 8 ms
  const timedModule = (module) => {
    const properties = Object.getOwnPropertyDescriptors(module);
    for (const property of Object.values(properties)) if (typeof property.value === "function") property.value = timed(property.value);
    return Object.defineProperties({}, properties);
  };
  const load = require;
  const { writeSync } = load("node:fs");
  const report = () => writeSync(3, JSON.stringify({ start, own: now() - start - outside }));
  const ffi = (module) => Object.defineProperty(timedModule(module), "DynamicLibrary", {
    value: class {
      #open = timed((...parameters) => new module.DynamicLibrary(...parameters));
      #library;
      constructor(...parameters) { this.#library = this.#open(...parameters); }
      getFunction(name, signature) {
        const found = timed(() => this.#library.getFunction(name, signature))();
        return name === "_exit" ? (code) => { report(); found(code); } : timed(found);
      }
    },
  });
  const known = new Map();
  require = (name) => {
    if (!known.has(name)) {
      if (name === "node:ffi") known.set(name, ffi(timed(load)(name)));
      else known.set(name, name === "node:fs" ? timedModule(load(name)) : load(name));
    }
    return known.get(name);
  };
}
`;
