import { hasControl } from "../support/printable.ts";

// How podlink names the host end of an attachment's veth pair. The names are a contract: later versions keep reading them.
//
//   pl k3d9x 7f2mq4ta        15 characters, all a link's name may have
//   |  |     8 letters of the hash of network, container ID and interface name (40 bits)
//   |  5 letters of the hash of the network's name (25 bits): what belongs to a network is found without any record
//   this is podlink's

/** What an attachment is named by; any object with these fields will do. */
export interface NameParts {
  readonly network: string;
  readonly containerId: string;
  readonly ifname: string;
}

const PREFIX = "pl";
const SHAPER_PREFIX = "plB"; // bandwidth
const NETWORK_LETTERS = 5;
const ATTACHMENT_LETTERS = 8;
const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"; // RFC 4648 base 32

/** The start of the name of every host link of a network. */
export function networkLinkPrefix(network: string): string {
  return PREFIX + hashLetters(network, NETWORK_LETTERS);
}

/** The host link of an attachment. */
export function hostLinkName(attachment: NameParts): string {
  const { network, containerId, ifname } = attachment;
  // NUL can stand in none of the three, so no two attachments read the same
  return networkLinkPrefix(network) + hashLetters(`${network}\0${containerId}\0${ifname}`, ATTACHMENT_LETTERS);
}

/** The start of the name of every link that shapes traffic of a network: `plB` and the network's five letters. */
export function networkShaperPrefix(network: string): string {
  return SHAPER_PREFIX + hashLetters(network, NETWORK_LETTERS);
}

/**
 * The ifb through which an attachment's container sends, where its rate is limited. The capital letter, which no host link's name
 * has, leaves room for seven letters of the attachment's hash.
 */
export function shaperLinkName(attachment: NameParts): string {
  const { network, containerId, ifname } = attachment;
  return networkShaperPrefix(network) + hashLetters(`${network}\0${containerId}\0${ifname}`, ATTACHMENT_LETTERS - 1);
}

/** The bridge's end of the veth pair that gives the host an address in one VLAN; belongs to the bridge, not to an attachment. */
export function vlanGatewayPeerName(bridge: string, vlan: number): string {
  return `plgw${hashLetters(`${bridge}\0${vlan}`, ATTACHMENT_LETTERS)}`;
}

/** The end of a name for what has no name of its own but always the same text: 8 letters of its hash. */
export function nameHash(text: string): string {
  return hashLetters(text, ATTACHMENT_LETTERS);
}

/** Whether a link's name is one that podlink gave, for whatever network. */
export function isHostLinkName(name: string): boolean {
  return name.length === PREFIX.length + NETWORK_LETTERS + ATTACHMENT_LETTERS && /^pl[a-z2-7]+$/.test(name);
}

/** Whether a link can have that name: 1 to 15 bytes, no /, no :, no %, no white space and no control characters. */
export function isLinkName(name: string): boolean {
  const bytes = Buffer.byteLength(name);
  return bytes > 0 && bytes <= 15 && !/[/:%\s]/.test(name) && !hasControl(name) && name !== "." && name !== "..";
}

/** The kernel takes 254 bytes and a NUL; an interface's name beyond ASCII may have more bytes than letters. */
const ALIAS_LETTERS = 240;

/** The alias that says in clear whose link it is; written whole only when the ADD that made the link has done everything. */
export function linkAlias(attachment: NameParts, state: "adding" | "attached"): string {
  const { network, containerId, ifname } = attachment;
  return `podlink ${state === "adding" ? "(adding) " : ""}${network} ${containerId} ${ifname}`.slice(0, ALIAS_LETTERS);
}

/**
 * The group (IFLA_GROUP) of a link that lives in the container alone, while the ADD that makes it is still going on. Such a link bears
 * the container's name for it, and the kernel takes no alias while it makes a link, but it takes a group: "plad" in ASCII.
 */
export const ADDING_GROUP = 0x706c6164;

/**
 * A group for links that are to be deleted together, of which one has this index: no two links of a namespace have the same, so that
 * nobody else deletes by that number. Indexes are small, and so are the groups that people make up.
 */
export function removalGroup(index: number): number {
  return 0x40000000 + index;
}

/** FNV-1a of 64 bits, then murmur's finalizer: spreads short texts well, needs no library. Not for secrets. */
function hash64(text: string): bigint {
  const mask = 0xffffffffffffffffn;
  let hash = 0xcbf29ce484222325n;
  for (const byte of Buffer.from(text, "utf8")) hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & mask;
  hash = ((hash ^ (hash >> 33n)) * 0xff51afd7ed558ccdn) & mask;
  hash = ((hash ^ (hash >> 33n)) * 0xc4ceb9fe1a85ec53n) & mask;
  return hash ^ (hash >> 33n);
}

/** Letters of hashes by their texts: a call asks for those of its attachment again and again, and each takes 60 multiplications of bigints. */
const known = new Map<string, string>();
const MOST_KNOWN = 64;
const ALL_LETTERS = 12;

function hashLetters(text: string, count: number): string {
  const present = known.get(text);
  if (present !== undefined) return present.slice(0, count);
  if (known.size >= MOST_KNOWN) known.clear();
  const letters = makeLetters(hash64(text));
  known.set(text, letters);
  return letters.slice(0, count);
}

function makeLetters(hash: bigint): string {
  let text = "";
  for (let rest = hash; text.length < ALL_LETTERS; rest >>= 5n) text += ALPHABET[Number(rest & 31n)];
  return text;
}
