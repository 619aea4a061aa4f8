import { openSandbox } from "../attachment/sandbox.ts";
import { expectSame } from "../attachment/verify.ts";
import type { CheckCall } from "../cni/plugin.ts";
import type { Interface } from "../cni/result.ts";
import { getLink, type Link } from "../link/links.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import { type LinkSettings, type SettingName, settingNames, settingsOf } from "../link/settings.ts";
import { readSysctl } from "../link/sysctl.ts";
import { collapse, sameSysctlValue } from "../link/sysctl-value.ts";
import type { Failures } from "../support/errors.ts";
import { isErrno } from "../sys/errno.ts";
import type { Sysctl, TuningConfig } from "./tuning-config.ts";

/** Compares what ADD set with what is there; every difference is kept in `failures` with what was expected and what is. */
export function checkTuning(call: CheckCall<TuningConfig>, failures: Failures): void {
  const { attachment, config, netns, prevResult, steps } = call;
  const { ifname } = attachment;
  using sandbox = openSandbox(netns, steps);
  const { container } = sandbox;
  const shown = (prevResult.interfaces ?? []).find((each) => isTuned(each, { ifname, netns }));
  const link = failures.attempt(`find "${ifname}" in the container`, () => getLink(container, ifname));
  if (link !== undefined) checkSettings(link, { settings: config.settings, shown, failures });
  for (const sysctl of config.sysctls(ifname)) {
    failures.attempt(`check sysctl "${sysctl.key}"`, () => checkSysctl(container, sysctl));
  }
}

/** Whether an interface of a result is the one that is tuned. */
export function isTuned({ name, sandbox }: Interface, { ifname, netns }: { ifname: string; netns: string }): boolean {
  return name === ifname && sandbox === netns;
}

/** @param options.shown the interface in the result of the whole chain, where a plugin after this one may have changed it */
function checkSettings(
  link: Link,
  options: { settings: Partial<LinkSettings>; shown: Interface | undefined; failures: Failures },
): void {
  const { settings, shown, failures } = options;
  const present = settingsOf(link);
  const later: Partial<Record<SettingName, unknown>> = { mac: shown?.mac?.toLowerCase(), mtu: shown?.mtu };
  for (const name of settingNames) {
    const [expected, actual] = [settings[name], present[name]];
    if (expected === undefined || actual === later[name]) continue;
    failures.attempt(`check "${link.name}"`, () => expectSame(`its "${name}"`, { expected, actual }));
  }
}

function checkSysctl(container: NetworkNamespace, { path, value }: Sysctl): void {
  let present: string | undefined;
  try {
    present = readSysctl(container, path);
  } catch (error) {
    if (isErrno(error, "EACCES", "EPERM")) return; // only to be written, as net/ipv4/route/flush
    throw error;
  }
  if (present !== undefined && sameSysctlValue(path, { wanted: value, present })) return;
  expectSame("its value", { expected: value, actual: present === undefined ? undefined : collapse(present) });
}
