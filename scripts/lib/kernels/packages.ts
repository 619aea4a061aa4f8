import type { Apt } from "../apt.ts";
import { debianName } from "./host.ts";

/** A package in one version, as `apt-get download` takes it: `linux-image-6.1.0-56-cloud-amd64=6.1.192-2`. */
type Pinned = string;

/** Packages whose files make up a kernel: image and modules are one package, or several since 7.0. */
const parts = /^linux-(image|binary|modules|base)-\d/;

/** What Debian's newest kernel for virtual machines consists of, in the suites that `apt` has. */
export async function kernelPackages(apt: Apt): Promise<Pinned[]> {
  const meta = await newest(apt, `linux-image-cloud-${debianName()}`);
  const found = new Map<string, Pinned>();
  const queue = dependencies(meta);
  for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
    if (found.has(name)) continue;
    const stanza = await newest(apt, name);
    found.set(name, `${name}=${field(stanza, "Version")}`);
    queue.push(...dependencies(stanza));
  }
  if (found.size === 0) throw new Error(`"${field(meta, "Package")}" depends on no kernel`);
  return [...found.values()];
}

/** Names of other parts that a package's `Depends` and `Pre-Depends` have; of alternatives the first. */
export function dependencies(stanza: string): string[] {
  const lists = ["Pre-Depends", "Depends"].flatMap((key) => field(stanza, key).split(","));
  return lists.map((one) => one.trim().split(/[ (|:]/)[0] ?? "").filter((name) => parts.test(name));
}

/** apt-cache shows the versions of a package newest first. */
async function newest(apt: Apt, name: string): Promise<string> {
  const [stanza = ""] = (await apt.look("show", name)).split("\n\n");
  return stanza;
}

function field(stanza: string, key: string): string {
  return new RegExp(`^${key}: (.*)$`, "m").exec(stanza)?.[1] ?? "";
}
