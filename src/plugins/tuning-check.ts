import { openSandbox } from "../attachment/sandbox.ts";
import { expectSame } from "../attachment/verify.ts";
import type { CheckCall } from "../cni/plugin.ts";
import type { Interface } from "../cni/result.ts";
import { getLink, type Link } from "../link/links.ts";
import { type LinkSettings, type SettingName, settingNames, settingsOf } from "../link/settings.ts";
import type { Failures } from "../support/errors.ts";
import { checkSysctls } from "./sysctls.ts";
import type { TuningConfig } from "./tuning-config.ts";

/** Compares what ADD set with what is there; every difference is kept in `failures` with what was expected and what is. */
export function checkTuning(call: CheckCall<TuningConfig>, failures: Failures): void {
  const { attachment, config, netns, prevResult, steps } = call;
  const { ifname } = attachment;
  using sandbox = openSandbox(netns, steps);
  const { container } = sandbox;
  const shown = (prevResult.interfaces ?? []).find((each) => isTuned(each, { ifname, netns }));
  const link = failures.attempt(`find "${ifname}" in the container`, () => getLink(container, ifname));
  if (link !== undefined) checkSettings(link, { settings: config.settings, shown, failures });
  checkSysctls(container, failures, config.sysctls(ifname));
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
