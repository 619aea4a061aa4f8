import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Architecture } from "./architecture.ts";
import { cache, root } from "./paths.ts";
import { run } from "./run.ts";
import { stamped } from "./stamped.ts";

/** The Node that an architecture's executable is made of. */
export interface BaseNode {
  /** Stripped program. */
  readonly program: string;
  readonly license: string;
  /** Version and integrity, by which what is made of it can be cached. */
  readonly identity: string;
}

/** The pinned Node of an architecture, checked against package-lock.json by npm, without its symbols. */
export async function baseNode(architecture: Architecture): Promise<BaseNode> {
  const name = `node-linux-${architecture.node}`;
  const locked = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8")).packages[`node_modules/${name}`];
  const identity = `${name} ${locked.version} ${locked.integrity}`;
  const directory = join(root, "node_modules", name);
  const home = existsSync(directory) ? directory : await fetched(architecture, { name, identity });
  const program = join(cache, "base", architecture.name);
  await stamped(program, { key: identity }, async (path) => {
    await run([`${architecture.triplet}-strip`, join(home, "bin/node"), "-o", path]);
  });
  return { program, license: join(home, "LICENSE"), identity };
}

/**
 * npm installs only what fits the machine, so a foreign Node comes through an `npm ci` of its own, from a lock with nothing else in it.
 * It stays an optional dependency there: of one that is not, npm compares the platform with the machine's whatever `--cpu` says.
 */
async function fetched(architecture: Architecture, { name, identity }: { name: string; identity: string }): Promise<string> {
  const directory = join(cache, "npm", architecture.name);
  await stamped(directory, { key: identity }, async (path) => {
    mkdirSync(path);
    const lock = JSON.parse(readFileSync(join(root, "package-lock.json"), "utf8"));
    const locked = lock.packages[`node_modules/${name}`];
    const project = { name: "base", version: "0.0.0", private: true, optionalDependencies: { [name]: locked.version } };
    writeFileSync(join(path, "package.json"), JSON.stringify(project));
    const packages = { "": project, [`node_modules/${name}`]: locked };
    writeFileSync(
      join(path, "package-lock.json"),
      JSON.stringify({ name: "base", version: "0.0.0", lockfileVersion: 3, requires: true, packages }),
    );
    await run(["npm", "ci", `--cpu=${architecture.node}`, "--os=linux", "--ignore-scripts", "--no-audit", "--no-fund"], {
      cwd: path,
    });
  });
  return join(directory, "node_modules", name);
}
