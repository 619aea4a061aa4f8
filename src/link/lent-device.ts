import { IFF } from "../netlink/route/link.ts";
import { during } from "../support/errors.ts";
import { shellWord } from "../support/shell-word.ts";
import { isErrno } from "../sys/errno.ts";
import { type DeviceRecord, formatRecord, type HomeState, parseRecord } from "./device-record.ts";
import { findLink, getLink, type Link, listLinks, setDown, setLink } from "./links.ts";
import { hostLinkName, type NameParts } from "./names.ts";
import type { NetworkNamespace, Sandbox } from "./namespace.ts";

// Devices of the host that go to a container and come home again. The kernel takes off a device's addresses, routes and masters
// whenever it changes its namespace, and sets it down.

/** A device with the record in its alias. */
export interface LentDevice {
  readonly link: Link;
  readonly record: DeviceRecord;
}

/** Every device of the namespace that is lent, or was and is not what it was at home again. */
export function listLentDevices(namespace: NetworkNamespace): LentDevice[] {
  return listLinks(namespace).flatMap((link) => {
    const record = parseRecord(link.alias);
    return record === undefined ? [] : [{ link, record }];
  });
}

/** The device lent to that attachment, if it is in this namespace. */
export function findLentDevice(namespace: NetworkNamespace, attachment: NameParts): LentDevice | undefined {
  const key = hostLinkName(attachment);
  return listLentDevices(namespace).find(({ record }) => record.key === key);
}

/** The command and message that give a device its record. */
function recording(attachment: NameParts, state: { home: HomeState; adding: boolean }) {
  const alias = formatRecord(attachment, state);
  return { command: `alias ${shellWord(alias)}`, message: { alias } };
}

/**
 * Moves a device of the host into the container under its name there. Its record is written first, so that it finds its way home from
 * wherever the move, or the process, may end.
 * @throws Error when it cannot be moved; the device may be in the container by then, under its old name
 */
export function lendDevice(sandbox: Sandbox, device: Link, attachment: NameParts): { link: Link; home: HomeState } {
  const { host, container } = sandbox;
  const { name, mtu, mac, up, alias } = device;
  const home = { name, mtu, mac, up, alias: alias === "" ? undefined : alias };
  const { ifname } = attachment;
  const record = recording(attachment, { home, adding: true });
  setLink(host, device, record);
  try {
    // With the record once more: an ADD of another container that wants the same device may have written its own meanwhile
    setLink(host, device, {
      command: `${record.command} netns ${shellWord(container.path)} name ${shellWord(ifname)}`,
      message: { ...record.message, netnsFd: container.fd, name: ifname },
    });
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
    throw new Error(`the name "${ifname}" is taken in the container`, { cause: error });
  }
  return { link: getLink(container, ifname), home };
}

/** Says in the record that ADD has done everything. */
export function settleDevice(container: NetworkNamespace, link: Link, options: { attachment: NameParts; home: HomeState }): void {
  setLink(container, link, recording(options.attachment, { home: options.home, adding: false }));
}

/**
 * Takes a device from a container back to the host, under its name there, or, where another link has that by now, under one of the
 * kernel's choice.
 * @returns the link on the host
 */
export function fetchDevice({ host, container }: Sandbox, link: Link, home: Pick<HomeState, "name">): Link {
  // The host is where this process is, and the shell that the command is typed into. By its number it is named without one more file
  // descriptor: there may be none, and what an ADD that failed for lack of them has moved must still come home.
  const move = (name: string): void =>
    setLink(container, link, { command: `netns $$ name ${shellWord(name)}`, message: { netnsPid: process.pid, name } });
  try {
    move(home.name);
    return getLink(host, home.name);
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw error;
  }
  // Depending on whether its name in the container was free on the host, it has been moved and not renamed, or not moved at all
  if (findLink(container, link.index)?.alias === link.alias) move("dev%d");
  // Its index is the same only where that was free
  const arrived = listLinks(host).find(({ name, alias, mac }) => name !== home.name && alias === link.alias && mac === link.mac);
  if (arrived === undefined) throw new Error(`"${link.name}" left the container and is not on the host`);
  return arrived;
}

/**
 * Makes a device that is on the host again what it was at home; its record goes with the last change.
 * @param options.warn is told when another link has its name: it keeps its record then, and the next try may find the name free
 */
export function restoreDevice(
  host: NetworkNamespace,
  { link, home }: { link: Link; home: HomeState },
  options: { warn: (message: string) => void },
): void {
  const named = rename(host, link, home.name);
  const name = named ? home.name : link.name;
  const device = { name, index: link.index };
  const mac = home.mac !== link.mac && /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(home.mac) ? home.mac : undefined;
  const mtu = home.mtu === link.mtu ? undefined : home.mtu;
  if (mac !== undefined || mtu !== undefined) {
    const words = [...(mac === undefined ? [] : [`address ${mac}`]), ...(mtu === undefined ? [] : [`mtu ${mtu}`])];
    const message = { ...(mac === undefined ? {} : { address: mac }), ...(mtu === undefined ? {} : { mtu }) };
    during(`restore ${words.join(" and ")} of "${name}"`, () => setLink(host, device, { command: words.join(" "), message }));
  }
  const alias = home.alias ?? "";
  const [upWord, flags] = home.up ? ["up", IFF.UP] : ["down", 0];
  const state = { flags, change: IFF.UP };
  if (named) setLink(host, device, { command: `alias ${shellWord(alias)} ${upWord}`, message: { alias, ...state } });
  else {
    setLink(host, device, { command: upWord, message: state });
    options.warn(`Device "${home.name}" is home as "${name}": another link has its name`);
  }
}

/** @returns false when another link has the name */
function rename(host: NetworkNamespace, link: Link, name: string): boolean {
  if (link.name === name) return true;
  if (findLink(host, name) !== undefined) return false;
  if (link.up) setDown(host, link);
  setLink(host, link, { command: `name ${shellWord(name)}`, message: { name } });
  return true;
}
