/**
 * Prepared in front of a script, tells on descriptor 3 how it was loaded, as `{start, evaluated}`: `start` is the time of the script's
 * first statement on the monotonic clock, which all processes share (the way from the parent's call to it has the compiling in it; the
 * same probe in front of a script that does nothing gives the base line for that), `evaluated` the milliseconds from there until every
 * module has run its top level and main() asks for the name it was called by. It ends the process there.
 */
export const loadProbe = `"use strict";
{
  const now = () => Number(process.hrtime.bigint()) / 1e6; // performance.now() would load ten of Node's modules
  const start = now();
  const load = require;
  const report = () => {
    const evaluated = now() - start;
    load("node:fs").writeSync(3, JSON.stringify({ start, evaluated }));
    process.reallyExit(0);
  };
  const path = { ...load("node:path"), basename: report };
  require = (name) => (name === "node:path" ? path : load(name));
}
`;

/**
 * Prepared in front of a script, tells on descriptor 3 what it did, as `{own, outside}`: the milliseconds from the script's first
 * statement to its end without the time inside node:fs and node:ffi (files, kernel, the loading of node:ffi), and that time.
 * What measuring costs counts as ours, and so does the loading of any other module of Node's.
 */
export const workProbe = `"use strict";
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
  const report = () => writeSync(3, JSON.stringify({ own: now() - start - outside, outside }));
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
  const getBuiltin = process.getBuiltinModule;
  process.getBuiltinModule = (name) => (name === "node:ffi" ? require(name) : getBuiltin(name));
  const reallyExit = process.reallyExit;
  process.reallyExit = (code) => { report(); reallyExit.call(process, code); };
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
