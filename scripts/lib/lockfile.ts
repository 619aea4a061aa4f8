/** One entry of `packages` in package-lock.json, as far as it matters here. */
export interface LockEntry {
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** Optional dependencies that some package of the lock names and the lock has no entry for. */
export function missingOptionals(packages: Readonly<Record<string, LockEntry>>): { name: string; version: string }[] {
  const missing = new Map<string, string>();
  for (const [path, entry] of Object.entries(packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      if (!isLocked(packages, { from: path, name })) missing.set(name, version);
    }
  }
  return [...missing].map(([name, version]) => ({ name, version }));
}

/** Node's own search: `node_modules` of the package that asks, then of each one around it. */
function isLocked(packages: Readonly<Record<string, LockEntry>>, { from, name }: { from: string; name: string }): boolean {
  for (let path = from; ; path = path.slice(0, Math.max(0, path.lastIndexOf("/node_modules/")))) {
    if (`${path === "" ? "" : `${path}/`}node_modules/${name}` in packages) return true;
    if (path === "") return false;
  }
}
