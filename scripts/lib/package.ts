import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import type { Architecture } from "./architecture.ts";
import type { BaseNode } from "./base-node.ts";
import { libatomic } from "./debian.ts";
import { dist, root } from "./paths.ts";
import { run } from "./run.ts";
import { digest, stamped } from "./stamped.ts";

export interface Contents {
  /** The single executable. */
  readonly program: string;
  readonly architecture: Architecture;
  readonly base: BaseNode;
  /** Plugin types: one link each. */
  readonly types: readonly string[];
  /** npm packages inside the executable. */
  readonly packages: readonly string[];
}

/** Lays out a directory that is unpacked into /opt/cni/bin as it is, and answers the key of what is in it. */
export async function binDirectory(path: string, contents: Contents): Promise<string> {
  const { library, copyright } = await libatomic(contents.architecture);
  assertOldGlibc(library);
  const licenses = [
    ["LICENSE", join(root, "LICENSE")],
    ["LICENSE.node", contents.base.license],
    ["LICENSE.libatomic", copyright],
    ...contents.packages.map((name) => [`LICENSE.${name.replace("/", "-")}`, join(root, "node_modules", name, "LICENSE.md")]),
  ] as [name: string, source: string][];
  const files = [contents.program, library, ...licenses.map(([, source]) => source)];
  const key = digest(contents.types.join(), notice, ...files.map((file) => readFileSync(file)));
  await stamped(path, { key }, async (directory) => {
    const companions = join(directory, "podlink.lib");
    mkdirSync(companions, { recursive: true });
    copyFileSync(contents.program, join(directory, "podlink"));
    for (const type of contents.types) symlinkSync("podlink", join(directory, type));
    copyFileSync(library, join(companions, "libatomic.so.1"));
    for (const [name, source] of licenses) copyFileSync(source, join(companions, name));
    writeFileSync(join(companions, "README"), notice);
  });
  return key;
}

const notice = `libatomic.so.1 is GCC's, unchanged, as Debian or Ubuntu built it (package libatomic1): GPL version 3 with the GCC Runtime Library
Exception, see LICENSE.libatomic; its source is the distribution's source package of gcc. podlink needs this directory beside it.
The other files are the licences of podlink, and of Node and the libraries inside the executable.
`;

/** The archive of a bin directory: the same bytes for the same content, whoever builds it and when. */
export async function archive(
  directory: string,
  { architecture, key }: { architecture: Architecture; key: string },
): Promise<void> {
  const file = join(dist, `podlink-linux-${architecture.name}.tgz`);
  await stamped(file, { key }, async (path) => {
    const normal = ["--sort=name", "--owner=root:0", "--group=root:0", "--mtime=@0", "--mode=u=rwX,go=rX", "--format=gnu"];
    await run(["tar", "--create", ...normal, "--use-compress-program=gzip -n", "--file", path, "--directory", directory, "."]);
  });
  console.log(`${relative(root, directory)} and ${relative(root, file)}`);
}

/** Fails when an ELF file needs a newer glibc than 2.28, which is what Node itself needs. */
function assertOldGlibc(file: string): void {
  const minors = [...readFileSync(file, "latin1").matchAll(/GLIBC_2\.(\d+)/g)].map(([, minor]) => Number(minor));
  const newest = Math.max(...minors);
  if (newest > 28) throw new Error(`Cannot ship "${file}": it needs glibc 2.${newest}, and hosts may have 2.28`);
}
