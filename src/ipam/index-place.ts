import { lstatSync } from "node:fs";

/** Where the reference keeps its leases: a directory per network. */
export const defaultDataDirectory = "/var/lib/cni/networks";

/** Beside the default directory, so that nobody who lists it finds more than leases; it must be of the same file system. */
const defaultHome = { parent: "/var/lib/cni", path: "/var/lib/cni/podlink/ipam" };

/** Where the index of a lease directory is. */
export function indexDirectory(dir: string): string {
  const slash = dir.lastIndexOf("/");
  const [dataDir, network] = [dir.slice(0, slash), dir.slice(slash + 1)];
  if (dataDir === defaultDataDirectory && lstatSync(dir).dev === lstatSync(defaultHome.parent).dev) {
    return `${defaultHome.path}/${network}`;
  }
  return `${dataDir}/.podlink/${network}`; // no network's name begins with a dot
}
