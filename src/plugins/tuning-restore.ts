import { findLink } from "../link/links.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import { applySetting, settingNames } from "../link/settings.ts";
import { readSysctlIfAllowed, setSysctl } from "../link/sysctl.ts";
import { sameSysctlValue } from "../link/sysctl-value.ts";
import { Failures } from "../support/errors.ts";
import { type Backup, namespaceOf, placeOf, type TunedSysctl } from "./tuning-backup.ts";

/**
 * Puts an attachment's interface and sysctls back to what a backup says, the last change first. The interface's own go back in any case;
 * with `sparing`, a sysctl of the whole namespace that somebody changed since is left alone. Nothing is touched of a namespace or an
 * interface that is not the one of the backup.
 * @throws Error that names everything that could not be put back, after all else was
 */
export function restore(
  container: NetworkNamespace,
  backup: Backup,
  { ifname, sparing }: { ifname: string; sparing: boolean },
): void {
  const { own, settings } = backup;
  if (own !== undefined && own.place.namespace !== namespaceOf(container)) return;
  const found = findLink(container, ifname);
  const link = found !== undefined && own !== undefined && own.place.link !== placeOf(container, found).link ? undefined : found;
  const failures = new Failures();
  for (const name of [...settingNames].reverse()) {
    if (link !== undefined)
      failures.attempt(`put back "${name}" of "${ifname}"`, () => applySetting(container, link, { name, settings }));
  }
  for (const sysctl of [...(own?.sysctls ?? [])].reverse()) {
    const isInterfaces = sysctl.path.split("/").includes(ifname);
    if (isInterfaces && link === undefined) continue;
    failures.attempt(`put back sysctl "${sysctl.path}"`, () =>
      restoreSysctl(container, sysctl, { sparing: sparing && !isInterfaces }),
    );
  }
  failures.throwAny();
}

function restoreSysctl(container: NetworkNamespace, sysctl: TunedSysctl, { sparing }: { sparing: boolean }): void {
  const { path, before, after } = sysctl;
  if (before === undefined) return;
  const present = readSysctlIfAllowed(container, path);
  if (present === undefined || present === before) return;
  if (sparing && !sameSysctlValue(path, { wanted: after, present })) return;
  setSysctl(container, path, before);
}
