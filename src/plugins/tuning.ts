import { requireChained } from "../attachment/chained.ts";
import { openSandbox } from "../attachment/sandbox.ts";
import { CniError, codes } from "../cni/error.ts";
import { type AddCall, type CheckCall, type DelCall, definePlugin, type GcCall, type StatusCall } from "../cni/plugin.ts";
import type { Result } from "../cni/result.ts";
import { whyNotWritable } from "../ipam/availability.ts";
import { getLink } from "../link/links.ts";
import { NetworkNamespace } from "../link/namespace.ts";
import { applySetting, type LinkSettings, settingNames, settingsOf } from "../link/settings.ts";
import { readSysctlIfAllowed } from "../link/sysctl.ts";
import { during, Failures, reason } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import { Netns } from "../sys/netns.ts";
import type { Sysctl } from "./sysctl-config.ts";
import { configuring, requireSysctlsAllowed, requireSysctlsReady, setSysctls } from "./sysctls.ts";
import { type Backup, mergeBackups, placeOf } from "./tuning-backup.ts";
import { Backups } from "./tuning-backups.ts";
import { checkTuning, isTuned } from "./tuning-check.ts";
import { resolveTuning, type TuningConfig, tuningSchema } from "./tuning-config.ts";
import { restore } from "./tuning-restore.ts";

/**
 * Sysctls of the container's namespace and attributes of the interface that a plugin before it made: drop-in for the reference's type of
 * that name. What was there before is kept in a file until DEL.
 */
export const tuning = definePlugin({
  type: "tuning",
  schema: tuningSchema,
  resolve: resolveTuning,

  add(call: AddCall<TuningConfig>, rollback: Rollback): Result {
    const { attachment, config, netns, steps } = call;
    const prevResult = requireChained(call, `tune "${attachment.ifname}"`);
    const sysctls = config.sysctls(attachment.ifname);
    requireSysctlsAllowed(sysctls);
    using sandbox = openSandbox(netns, steps);
    const { container } = sandbox;
    const link = during(`tune "${attachment.ifname}" in the container`, () => getLink(container, attachment.ifname));
    const names = settingNames.filter((name) => config.settings[name] !== undefined);
    if (sysctls.length === 0 && names.length === 0) return prevResult;

    const present = settingsOf(link);
    const now = {
      settings: Object.fromEntries(names.map((name) => [name, present[name]])),
      own: { ...attachment, place: placeOf(container, link), sysctls: sysctls.map((sysctl) => readBefore(container, sysctl)) },
    };
    keepBackup(call, { now, rollback });
    rollback.defer(`put back what "${attachment.ifname}" was`, () => {
      using again = NetworkNamespace.container(Netns.open(netns), steps);
      restore(again, now, { ifname: attachment.ifname, sparing: false });
    });
    setSysctls(container, sysctls);
    const { settings } = config;
    for (const name of names) {
      configuring(`set "${name}" of "${link.name}" to ${JSON.stringify(settings[name])}`, () =>
        applySetting(container, link, { name, settings }),
      );
    }
    return withSettings(prevResult, { ifname: attachment.ifname, netns, settings });
  },

  check(call: CheckCall<TuningConfig>): void {
    const failures = new Failures();
    checkTuning(call, failures);
    failures.throwAny();
  },

  /** What cannot be put back is told and no more: the interface is about to go, and its addresses shall not stay taken for that. */
  del({ attachment, config, netns, steps, warn }: DelCall<TuningConfig>): void {
    const backups = new Backups(config.dataDir, steps);
    const backup = backups.read(attachment);
    const sandbox = backup === undefined ? undefined : Netns.tryOpen(netns);
    if (backup !== undefined && sandbox !== undefined) {
      using container = NetworkNamespace.container(sandbox, steps);
      try {
        restore(container, backup, { ifname: attachment.ifname, sparing: true });
      } catch (error) {
        warn(reason(error));
      }
    }
    backups.remove(attachment);
  },

  gc({ config, network, steps, valid }: GcCall<TuningConfig>): void {
    new Backups(config.dataDir, steps).collect(network, valid);
  },

  status({ config }: StatusCall<TuningConfig>): void {
    const { dataDir, settings } = config;
    const sysctls = config.sysctls("IFNAME");
    if (sysctls.length === 0 && Object.keys(settings).length === 0) return;
    const why = whyNotWritable(dataDir);
    if (why !== undefined) throw new CniError(codes.unavailable, `Cannot write backups into "${dataDir}": ${why}`);
    requireSysctlsReady(sysctls);
  },
});

function readBefore(container: NetworkNamespace, { path, value }: Sysctl) {
  const before = readSysctlIfAllowed(container, path);
  return { path, ...(before === undefined ? {} : { before }), after: value };
}

/**
 * Writes what was there down before anything is changed. Where an earlier ADD has tuned the same interface (this one again, or another
 * `tuning` of the chain), what was there before that one counts.
 */
function keepBackup(call: AddCall<TuningConfig>, { now, rollback }: { now: Required<Backup>; rollback: Rollback }): void {
  const { attachment, config, steps } = call;
  const backups = new Backups(config.dataDir, steps);
  const earlier = backups.read(attachment);
  const { place } = now.own;
  const isSame = earlier?.own?.place.namespace === place.namespace && earlier.own.place.link === place.link;
  backups.write(attachment, isSame ? mergeBackups(earlier, now) : now);
  rollback.defer(`put back backup "${backups.path(attachment)}"`, () => {
    if (isSame) backups.write(attachment, earlier);
    else backups.remove(attachment);
  });
}

/** The result of the plugins before, with the interface as it is now. */
function withSettings(result: Result, options: { ifname: string; netns: string; settings: Partial<LinkSettings> }): Result {
  const { mac, mtu } = options.settings;
  const changed = { ...(mac === undefined ? {} : { mac }), ...(mtu === undefined ? {} : { mtu }) };
  if (result.interfaces === undefined) return result;
  return { ...result, interfaces: result.interfaces.map((each) => (isTuned(each, options) ? { ...each, ...changed } : each)) };
}
