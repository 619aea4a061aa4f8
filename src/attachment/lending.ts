import type { Attachment, ValidAttachment } from "../cni/plugin.ts";
import { isOfNetwork, referenceHomeName } from "../link/device-record.ts";
import { fetchDevice, findLentDevice, type LentDevice, listLentDevices, restoreDevice } from "../link/lent-device.ts";
import { findLink, type Link, listLinks } from "../link/links.ts";
import { hostLinkName } from "../link/names.ts";
import { NetworkNamespace, Sandbox } from "../link/namespace.ts";
import { takeTurn } from "../link/namespace-lock.ts";
import { during, Failures } from "../support/errors.ts";
import type { Steps } from "../support/steps.ts";
import { isNetns } from "../sys/netns.ts";

/** What the way home of a device needs beside whose it is. */
export interface ReturnOptions {
  readonly netns: string | undefined;
  readonly steps: Steps;
  readonly warn: (message: string) => void;
  /** Name of the device in the configuration, by which one that the reference lent is known. */
  readonly device?: string | undefined;
}

/**
 * Brings an attachment's device home: out of its container, if that is still there; else from where the kernel put it on the host when
 * the container's namespace ended. None being there is fine.
 */
export function returnDevice(attachment: Attachment, options: ReturnOptions): void {
  if (options.netns !== undefined && isNetns(options.netns)) {
    using sandbox = Sandbox.open(options.netns, options.steps);
    using _turn = takeTurn(sandbox.host); // of two calls that bring the same device home, one would lose it under way
    if (returnFromContainer(sandbox, attachment, options)) return;
  }
  using host = NetworkNamespace.host(options.steps);
  using _turn = takeTurn(host);
  const lent = findLentDevice(host, attachment);
  if (lent !== undefined) restore(host, lent, options);
  else restoreNamed(host, options);
}

/** @returns whether it was there */
export function returnFromContainer(
  sandbox: Sandbox,
  attachment: Attachment,
  options: Pick<ReturnOptions, "warn" | "device">,
): boolean {
  const { host, container } = sandbox;
  const lent = findLentDevice(container, attachment) ?? lentByReference(findLink(container, attachment.ifname), options);
  if (lent === undefined) return false;
  const { record } = lent;
  const link = during(`bring "${lent.link.name}" home as "${record.home.name}"`, () =>
    fetchDevice(sandbox, lent.link, record.home),
  );
  restore(host, { link, record }, options);
  return true;
}

/** A device that is on the host, and should be there, as it was before it was lent. @returns it as it is then */
export function restore(host: NetworkNamespace, { link, record }: Lent, { warn }: Pick<ReturnOptions, "warn">): Link | undefined {
  restoreDevice(host, { link, home: record.home }, { warn });
  return findLink(host, link.index);
}

type Lent = Pick<LentDevice, "link"> & { readonly record: Pick<LentDevice["record"], "home"> };

/** The reference keeps the device's name alone, and leaves it down. */
function lentByReference(link: Link | undefined, { device }: Pick<ReturnOptions, "device">): Lent | undefined {
  const name = referenceHomeName(link?.alias);
  if (link === undefined || name === undefined || (device !== undefined && device !== name)) return undefined;
  return { link, record: { home: { name, mtu: link.mtu, mac: link.mac, up: false, alias: undefined } } };
}

/** A device that the reference lent and the kernel took back: nothing has its name, and one has it in its alias. */
function restoreNamed(host: NetworkNamespace, options: ReturnOptions): void {
  const { device } = options;
  if (device === undefined || referenceHomeName(device) === undefined || findLink(host, device) !== undefined) return;
  const lent = lentByReference(
    listLinks(host).find(({ alias }) => alias === device),
    options,
  );
  if (lent !== undefined) restore(host, lent, options);
}

/** Restores the devices of a network that the kernel took back from containers that are no more. Goes on after errors and reports all. */
export function collectDevices(
  network: string,
  options: { valid: readonly ValidAttachment[]; steps: Steps; warn: ReturnOptions["warn"] },
): void {
  using host = NetworkNamespace.host(options.steps);
  const keep = new Set(options.valid.map((attachment) => hostLinkName({ ...attachment, network })));
  const failures = new Failures();
  for (const lent of listLentDevices(host)) {
    const { link, record } = lent;
    if (!isOfNetwork(record, network) || keep.has(record.key)) continue;
    failures.attempt(`restore device "${record.home.name}", which is "${link.name}" now`, () => restore(host, lent, options));
  }
  failures.throwAny();
}
