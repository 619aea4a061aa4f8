import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { type Architecture, isNative } from "./architecture.ts";
import { cache } from "./paths.ts";
import { run } from "./run.ts";
import { stamped } from "./stamped.ts";

/**
 * Unpacks packages of this machine's distribution into one directory, without installing them, and answers it.
 * Needs apt's lists, but not root.
 */
export async function unpacked(...names: readonly string[]): Promise<string> {
  const directory = join(cache, "debian", names.join("_"));
  await stamped(directory, { key: names.join() }, async (path) => {
    mkdirSync(path);
    const download = mkdtempSync(join(cache, "download-"));
    try {
      await run(["apt-get", "--quiet", "download", ...names], { cwd: download });
      for (const file of readdirSync(download)) await run(["dpkg-deb", "--extract", join(download, file), path]);
    } finally {
      rmSync(download, { recursive: true });
    }
  });
  return directory;
}

/** libatomic as the distribution built it for an architecture, and the text it is licensed by. */
export async function libatomic(architecture: Architecture): Promise<{ library: string; copyright: string }> {
  const name = packageFor("libatomic1", architecture);
  const directory = await unpacked(name);
  const home = isNative(architecture) ? `usr/lib/${architecture.triplet}` : `usr/${architecture.triplet}/lib`;
  // gcc's libraries share one copyright file: the directory of documents is a link to it
  const owner = basename(readlinkSync(join(directory, "usr/share/doc", name)));
  return {
    library: join(directory, home, "libatomic.so.1"),
    copyright: join(await unpacked(owner), "usr/share/doc", owner, "copyright"),
  };
}

/** What an emulator takes for `/` (`-L`) when it runs a foreign executable: the loader, libc and libstdc++, and no libatomic. */
export async function foreignRoot(architecture: Architecture): Promise<string> {
  const names = ["libc6", "libstdc++6", "libgcc-s1"].map((name) => packageFor(name, architecture));
  return join(await unpacked(...names), "usr", architecture.triplet);
}

function packageFor(name: string, architecture: Architecture): string {
  return isNative(architecture) ? name : `${name}-${architecture.name}-cross`;
}
