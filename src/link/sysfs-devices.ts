import { readdirSync, readlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { isErrno } from "../sys/errno.ts";

// Where sysfs shows the network interfaces of a device: Documentation/ABI/testing/sysfs-class-net, and, below a virtio device, the
// interfaces of that. Only those of the namespace that sysfs was mounted in are shown.

const PCI = "/sys/bus/pci/devices";
const AUXILIARY = "/sys/bus/auxiliary/devices";

/** Drivers that hand a PCI device to a program in user space (DPDK): the kernel has no network interface for it then. */
const userSpaceDrivers = ["vfio-pci", "uio_pci_generic", "igb_uio"];

/** The directory of a PCI device (`0000:3d:00.1`) or an auxiliary one (`mlx5_core.sf.4`), or undefined where there is neither. */
export function findDevice(id: string): { readonly path: string; readonly bus: "pci" | "auxiliary" } | undefined {
  if (list(PCI).includes(id)) return { path: join(PCI, id), bus: "pci" };
  if (list(AUXILIARY).includes(id)) return { path: join(AUXILIARY, id), bus: "auxiliary" };
  return undefined;
}

/** Whether a PCI device's driver keeps it for a program in user space. */
export function isUserSpaceDevice(path: string): boolean {
  try {
    return userSpaceDrivers.includes(basename(readlinkSync(join(path, "driver"))));
  } catch (error) {
    if (isErrno(error, "ENOENT", "EINVAL")) return false; // no driver is bound
    throw error;
  }
}

/** Names of the network interfaces of the device at that path, a virtio device below it included, in order. */
export function networkInterfaces(path: string): string[] {
  const direct = list(join(path, "net"));
  if (direct.length > 0) return direct;
  const below = list(path).filter((name) => name.startsWith("virtio"));
  return below.flatMap((name) => list(join(path, name, "net")));
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return [];
    throw error;
  }
}
