import { restore } from "../attachment/lending.ts";
import { CniError, codes } from "../cni/error.ts";
import { listLentDevices } from "../link/lent-device.ts";
import { findLink, type Link, listLinks } from "../link/links.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import { findDevice, isUserSpaceDevice, networkInterfaces } from "../link/sysfs-devices.ts";
import type { DeviceWish, HostDeviceConfig } from "./host-device-config.ts";

/** The device of a bus that a configuration means. */
export interface BusDevice {
  readonly path: string;
  /** Of a PCI device, for the result. */
  readonly pciId: string | undefined;
  /** A program in user space drives it (DPDK): there is no interface to move. */
  readonly inUserSpace: boolean;
}

/** @throws CniError 7 when the bus has no such device */
export function findBusDevice(bus: NonNullable<HostDeviceConfig["bus"]>): BusDevice {
  const found = findDevice(bus.id);
  if (found !== undefined && (bus.by === "id" || found.bus === "pci")) {
    const pciId = found.bus === "pci" ? bus.id : undefined;
    return { path: found.path, pciId, inUserSpace: pciId !== undefined && isUserSpaceDevice(found.path) };
  }
  const what = bus.by === "id" ? `runtime config DeviceID "${bus.id}"` : `PCI device "${bus.id}"`;
  throw new CniError(codes.invalidConfig, `Cannot use network configuration: ${what} not found or unsupported`, {
    details: `expected one that is in /sys/bus/pci/devices${bus.by === "id" ? " or /sys/bus/auxiliary/devices" : ""}`,
  });
}

/**
 * The device on the host. One that an earlier container left to the kernel, whose namespace has ended, is found under the name, and by
 * the MAC address, that it had before, and made what it was.
 * @throws Error when there is none
 */
export function findHostDevice(
  host: NetworkNamespace,
  wish: DeviceWish,
  options: { bus: BusDevice | undefined; warn: (message: string) => void },
): Link {
  const found = lookUp(host, wish, options.bus);
  const returned = listLentDevices(host).find(({ link, record }) =>
    found === undefined
      ? (wish.by === "name" && record.home.name === wish.name) || (wish.by === "mac" && record.home.mac === wish.mac)
      : link.index === found.index,
  );
  const link = returned === undefined ? found : restore(host, returned, options);
  if (link !== undefined) return link;
  throw new Error(`${describe(wish, options.bus)} is not on the host: it does not exist, or another container has it`);
}

function lookUp(host: NetworkNamespace, wish: DeviceWish, bus: BusDevice | undefined): Link | undefined {
  switch (wish.by) {
    case "name":
      return findLink(host, wish.name);
    case "mac": {
      // VLANs and bridges have the MAC of the hardware below them
      const links = listLinks(host).filter(({ mac }) => mac === wish.mac);
      return links.find(({ kind }) => kind === undefined) ?? links[0];
    }
    default: {
      const names = networkInterfaces(wish.by === "path" ? wish.path : (bus?.path ?? ""));
      return names.map((name) => findLink(host, name)).find((link) => link !== undefined);
    }
  }
}

function describe(wish: DeviceWish, bus: BusDevice | undefined): string {
  switch (wish.by) {
    case "name":
      return `device "${wish.name}"`;
    case "mac":
      return `a device with MAC address ${wish.mac}`;
    default:
      return `a network interface of "${wish.by === "path" ? wish.path : (bus?.path ?? wish.id)}"`;
  }
}
