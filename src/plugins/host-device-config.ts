import { normalize } from "node:path";
import { boolean, type InferOutput, object, optional, string } from "valibot";
import { mac, path } from "../cni/config.ts";
import { requireAddresses } from "../cni/convert.ts";
import type { ConfigContext } from "../cni/plugin.ts";
import { normalizeMac } from "../ip/mac.ts";
import { type AddressConfig, addressEntries, invalid, isRemoval, resolveAddresses } from "./inside-config.ts";

/** The keys of type `host-device`, as the reference has them; `enabledad` is ours. */
export function hostDeviceSchema() {
  return object({
    device: optional(string()),
    hwaddr: optional(mac),
    kernelpath: optional(path),
    pciBusID: optional(string()),
    enabledad: optional(boolean()),
    ...addressEntries(),
    runtimeConfig: optional(object({ deviceID: optional(string()) })),
  });
}

/** How a device is told from others; where several keys are given, the first of these counts, as in the reference. */
export type DeviceWish =
  | { readonly by: "name"; readonly name: string }
  | { readonly by: "mac"; readonly mac: string }
  /** A directory below /sys/devices/. */
  | { readonly by: "path"; readonly path: string }
  | { readonly by: "pci"; readonly id: string }
  /** Of the runtime: a PCI device or an auxiliary one. */
  | { readonly by: "id"; readonly id: string };

/** What the verbs of type `host-device` work with. */
export interface HostDeviceConfig extends AddressConfig {
  /** Undefined only where nothing is to be attached (DEL, GC). */
  readonly device: DeviceWish | undefined;
  /** The PCI or auxiliary device that is meant, whichever key chooses: its driver decides whether there is an interface to move. */
  readonly bus: Extract<DeviceWish, { id: string }> | undefined;
  readonly detectDuplicates: boolean;
}

type HostDeviceKeys = InferOutput<ReturnType<typeof hostDeviceSchema>>;

const ROOT = "/sys/devices/";

/** @throws CniError 7 where no device is named, or by what cannot be one */
export function resolveHostDevice(keys: HostDeviceKeys, context: ConfigContext): HostDeviceConfig {
  const addresses = resolveAddresses(keys);
  if (context.command === "ADD") requireAddresses(context.cniVersion, addresses.ipamType !== undefined);
  const bus = wishedBus(keys);
  const device = wishedDevice(keys) ?? bus;
  if (device === undefined && !isRemoval(context.command)) {
    throw invalid(
      'specify either "device", "hwaddr", "kernelpath" or "pciBusID"',
      'one of them, or runtimeConfig.deviceID of the capability "deviceID", says which device the container gets',
    );
  }
  if (device?.by === "path" && !device.path.startsWith(ROOT) && !isRemoval(context.command)) {
    throw invalid(
      `kernel device path "${keys.kernelpath}" must be absolute and begin with ${ROOT}`,
      "`realpath /sys/class/net/NAME/device` tells it",
    );
  }
  return { ...addresses, device, bus, detectDuplicates: keys.enabledad === true };
}

function wishedDevice({ device, hwaddr, kernelpath }: HostDeviceKeys): DeviceWish | undefined {
  if (isGiven(device)) return { by: "name", name: device };
  if (isGiven(hwaddr)) return { by: "mac", mac: normalizeMac(hwaddr) };
  if (isGiven(kernelpath)) return { by: "path", path: normalize(kernelpath) };
  return undefined;
}

/** What the runtime hands in counts before the configuration's. */
function wishedBus({ pciBusID, runtimeConfig }: HostDeviceKeys): HostDeviceConfig["bus"] {
  if (isGiven(runtimeConfig?.deviceID)) return { by: "id", id: runtimeConfig.deviceID };
  return isGiven(pciBusID) ? { by: "pci", id: pciBusID } : undefined;
}

function isGiven(text: string | undefined): text is string {
  return text !== undefined && text !== "";
}
