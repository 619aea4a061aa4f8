import { hostLinkName, isHostLinkName, type NameParts, networkLinkPrefix } from "./names.ts";

// What stands in the alias of a device that the host lends to a container: whose it is for the time, and what it was at home. The
// alias stays with a device wherever it goes, also when its container's namespace ends and the kernel takes it back to the host by
// itself. The format is a contract: later versions keep reading it.
//
//   podlink (adding) host-device/1 pl6kvsk35jexygf name=ens5 mtu=1500 mac=52:54:00:12:34:56 up alias=uplink for demo c1 eth0
//            |       |           | |               at home                                     |          for people; cut
//            |       |           | its attachment, hashed as in names.ts                      its own alias, where it had one
//            |       |           version of what follows
//            ADD has not done everything yet

/** How a device was before it was lent. */
export interface HomeState {
  readonly name: string;
  readonly mtu: number;
  /** Empty where the device has none. */
  readonly mac: string;
  readonly up: boolean;
  /** Its own alias; undefined: none, or one that found no room. */
  readonly alias: string | undefined;
}

/** The record of a device that is lent. */
export interface DeviceRecord {
  readonly adding: boolean;
  /** Of the attachment it is lent to: names.ts's hostLinkName. */
  readonly key: string;
  readonly home: HomeState;
  /** Network, container and interface, as far as there was room. */
  readonly attachment: string;
}

/** The kernel takes 255 bytes and a NUL; one less is what every tool can show. */
const ALIAS_BYTES = 254;

/** The alias to give a device. Container IDs and networks' names may be long: what is for people is cut, never what is read again. */
export function formatRecord(attachment: NameParts, { home, adding }: { home: HomeState; adding: boolean }): string {
  const { network, containerId, ifname } = attachment;
  const state = `name=${encodeURIComponent(home.name)} mtu=${home.mtu} mac=${home.mac} ${home.up ? "up" : "down"}`;
  const head = `podlink ${adding ? "(adding) " : ""}host-device/1 ${hostLinkName(attachment)} ${state}`;
  const own = home.alias === undefined ? "" : ` alias=${encodeURIComponent(home.alias)}`;
  const kept = Buffer.byteLength(head + own) <= ALIAS_BYTES ? head + own : head;
  return cut(`${kept} for ${network} ${containerId} ${ifname}`);
}

function cut(text: string): string {
  let shorter = text;
  while (Buffer.byteLength(shorter) > ALIAS_BYTES) shorter = shorter.slice(0, -1);
  return shorter.trimEnd();
}

const form =
  /^podlink (?<adding>\(adding\) )?host-device\/1 (?<key>pl\S{13}) name=(?<name>\S+) mtu=(?<mtu>\d+) mac=(?<mac>[0-9a-f:]*) (?<up>up|down)(?: alias=(?<alias>\S+))?(?: (?:for(?: (?<attachment>.*))?|fo?))?$/s;

/** Reads an alias; undefined where it is no such record, or one of a version that is not known here. */
export function parseRecord(alias: string | undefined): DeviceRecord | undefined {
  const found = form.exec(alias ?? "")?.groups;
  if (found === undefined || !isHostLinkName(found.key ?? "")) return undefined;
  try {
    const home = {
      name: decodeURIComponent(found.name ?? ""),
      mtu: Number(found.mtu),
      mac: found.mac ?? "",
      up: found.up === "up",
      alias: found.alias === undefined ? undefined : decodeURIComponent(found.alias),
    };
    return { adding: found.adding !== undefined, key: found.key ?? "", home, attachment: found.attachment ?? "" };
  } catch {
    return undefined; // escapes that are none: somebody else wrote this
  }
}

/**
 * Whether a record is of that network. Two networks' names may have the same hash, so the text is looked at too, as far as it was
 * not cut.
 */
export function isOfNetwork({ key, attachment }: DeviceRecord, network: string): boolean {
  if (!key.startsWith(networkLinkPrefix(network))) return false;
  const own = `${network} `;
  return attachment.startsWith(own) || own.startsWith(attachment);
}

/**
 * The home name that the reference's host-device leaves: its alias is the former name and nothing else. Undefined where the alias
 * could be no link's name.
 */
export function referenceHomeName(alias: string | undefined): string | undefined {
  if (alias === undefined || alias === "" || alias === "." || alias === "..") return undefined;
  return Buffer.byteLength(alias) > 15 || /[/:\s]/.test(alias) ? undefined : alias;
}
