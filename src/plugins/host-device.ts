import { addressInside, checkInside } from "../attachment/inside.ts";
import { leaseAddresses } from "../attachment/lease.ts";
import { collectDevices, returnDevice, returnFromContainer } from "../attachment/lending.ts";
import { openSandbox } from "../attachment/sandbox.ts";
import { expectSame } from "../attachment/verify.ts";
import { type AddCall, type CheckCall, type DelCall, definePlugin, type GcCall, type StatusCall } from "../cni/plugin.ts";
import type { Interface, Result } from "../cni/result.ts";
import { parseRecord, referenceHomeName } from "../link/device-record.ts";
import { findLentDevice, lendDevice, settleDevice } from "../link/lent-device.ts";
import { findLink, getLink, type Link } from "../link/links.ts";
import { hostLinkName } from "../link/names.ts";
import type { Sandbox } from "../link/namespace.ts";
import { during, Failures } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import { type HostDeviceConfig, hostDeviceSchema, resolveHostDevice } from "./host-device-config.ts";
import { type BusDevice, findBusDevice, findHostDevice } from "./host-device-find.ts";

/** A network device of the host, lent to the container: drop-in for the reference's type of that name. */
export const hostDevice = definePlugin({
  type: "host-device",
  schema: hostDeviceSchema,
  resolve: resolveHostDevice,

  add(call: AddCall<HostDeviceConfig>, rollback: Rollback): Result {
    const { attachment, config, netns, steps } = call;
    const bus = config.bus === undefined ? undefined : findBusDevice(config.bus);
    using sandbox = openSandbox(netns, steps);
    if (bus?.inUserSpace === true) return nameOnly(call, bus, rollback);
    const action = `attach "${attachment.ifname}" of "${attachment.containerId}"`;
    if (during(action, () => clearLeftover(sandbox, call))) releaseAddresses(call);
    const link = during(action, () => lend(sandbox, call, { bus, rollback }));
    const undo = () => returnDevice(attachment, call);
    const wish = { ...config, unannounced: true }; // the kernel does it when the link comes up, and not every device takes a MAC address
    const addressed = addressInside(call, { wish, container: sandbox.container, inside: link.inside, rollback, undo });
    settleDevice(sandbox.container, link.inside, { attachment, home: link.home });
    const { name, mac, mtu } = getLink(sandbox.container, link.inside.index);
    const pci = bus?.pciId === undefined ? {} : { pciID: bus.pciId };
    return { interfaces: [{ name, mac, mtu, sandbox: netns, ...pci }], ...addressed };
  },

  check(call: CheckCall<HostDeviceConfig>): void {
    const { attachment, config, netns, prevResult, steps } = call;
    const failures = new Failures();
    if (config.bus !== undefined && findBusDevice(config.bus).inUserSpace) {
      const { ipamType } = config;
      if (ipamType !== undefined) failures.attempt("check the addresses with IPAM", () => call.delegate(ipamType).check());
      openSandbox(netns, steps)[Symbol.dispose]();
      const expected = (prevResult.interfaces ?? []).find(({ name }) => name === attachment.ifname);
      failures.attempt("match the sandbox", () =>
        expectSame(`the sandbox of "${attachment.ifname}" in prevResult`, { expected: netns, actual: expected?.sandbox }),
      );
    } else {
      checkInside(call, failures, {
        kind: undefined,
        ipamType: config.ipamType,
        verify: (link) => expectSame("what it is lent for", { expected: hostLinkName(attachment), actual: lentFor(link, call) }),
      });
    }
    failures.throwAny();
  },

  /** The device goes home first: its addresses are free only when nobody answers to them any more. */
  del(call: DelCall<HostDeviceConfig>): void {
    const { attachment, config } = call;
    const device = config.device?.by === "name" ? config.device.name : undefined;
    during(`detach "${attachment.ifname}" of "${attachment.containerId}"`, () => returnDevice(attachment, { ...call, device }));
    releaseAddresses(call);
  },

  gc(call: GcCall<HostDeviceConfig>): void {
    const { config, network, steps, valid } = call;
    const failures = new Failures();
    const warn = (message: string) => call.warn(message);
    failures.attempt(`bring home devices of network "${network}"`, () => collectDevices(network, { valid, steps, warn }));
    if (config.ipamType !== undefined) {
      const { ipamType } = config;
      failures.attempt(`release stale addresses of network "${network}"`, () => call.delegate(ipamType).gc());
    }
    failures.throwAny();
  },

  /** That the device is away does not count: a container of the network may have it. */
  status(call: StatusCall<HostDeviceConfig>): void {
    if (call.config.ipamType !== undefined) call.delegate(call.config.ipamType).status();
  },
});

/** A device that has no interface to move: its addresses, if any, are for the program that drives it. */
function nameOnly(call: AddCall<HostDeviceConfig>, bus: BusDevice, rollback: Rollback): Result {
  const { attachment, config, netns } = call;
  const link: Interface = { name: attachment.ifname, sandbox: netns, ...(bus.pciId === undefined ? {} : { pciID: bus.pciId }) };
  const dns = config.dns === undefined ? {} : { dns: config.dns };
  if (config.ipamType === undefined) return { interfaces: [link], ...dns };
  const { interfaces: _theirs, ...lease } = leaseAddresses(call, { type: config.ipamType, rollback });
  return { interfaces: [link], ...lease, ips: (lease.ips ?? []).map((ip) => ({ ...ip, interface: 0 })), ...dns };
}

/**
 * Makes room for an ADD: brings home what an earlier ADD of the same attachment took and did not use, because it was killed, or
 * because the container's namespace has ended.
 * @returns whether there was such a device; its lease is still to be released
 * @throws Error when the attachment is there and whole, or something else has its name
 */
function clearLeftover(sandbox: Sandbox, call: AddCall<HostDeviceConfig>): boolean {
  const { attachment } = call;
  const { host, container } = sandbox;
  const lent = findLentDevice(container, attachment);
  if (lent?.record.adding === false) {
    const by = `attached to network "${attachment.network}" by an earlier ADD: DEL it first`;
    throw new Error(`"${lent.link.name}" already exists in the container, ${by}`);
  }
  const returned = findLentDevice(host, attachment) !== undefined;
  if (lent !== undefined) returnFromContainer(sandbox, attachment, call);
  else if (returned) returnDevice(attachment, { ...call, netns: undefined });
  if (findLink(container, attachment.ifname) !== undefined)
    throw new Error(`"${attachment.ifname}" already exists in the container`);
  return lent !== undefined || returned;
}

function lend(
  sandbox: Sandbox,
  call: AddCall<HostDeviceConfig>,
  { bus, rollback }: { bus: BusDevice | undefined; rollback: Rollback },
) {
  const { attachment, config } = call;
  if (config.device === undefined) throw new Error("no device is named"); // refused when the configuration was read
  const device = findHostDevice(sandbox.host, config.device, { bus, warn: (message) => call.warn(message) });
  rollback.defer(`bring device "${device.name}" home`, () => returnDevice(attachment, call));
  const { link: inside, home } = during(`move device "${device.name}" into the container`, () =>
    lendDevice(sandbox, device, attachment),
  );
  return { inside, home };
}

function releaseAddresses({ config, delegate }: AddCall<HostDeviceConfig> | DelCall<HostDeviceConfig>): void {
  if (config.ipamType !== undefined) delegate(config.ipamType).del();
}

/** The attachment in a device's record; one that the reference lent has no more than a name, which will do. */
function lentFor({ alias }: Link, { attachment }: CheckCall<HostDeviceConfig>): string | undefined {
  return referenceHomeName(alias) === undefined ? parseRecord(alias)?.key : hostLinkName(attachment);
}
