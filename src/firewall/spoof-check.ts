import { hostLinkName, type NameParts } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import { type NftSet, setText } from "../netlink/netfilter/set.ts";
import { inSet } from "../netlink/netfilter/statements/lookup.ts";
import { verdict } from "../netlink/netfilter/statements/verdict.ts";
import type { Failures } from "../support/errors.ts";
import { collectOwned, deleteOwned, fitComment, ownerComment, ownerOf } from "./owned.ts";
import { checkChain, ensureChain, type FixedChain, rehearseChain } from "./rules.ts";
import { podlinkBridgeTable } from "./table.ts";

// A frame that enters a bridge through a checked port, from another MAC address than the container's, goes no further. One rule and two
// lookups by hash, whatever the number of containers; the call makes and deletes elements by their keys.

/** Before everything else that sees frames of a bridge; nft's dstnat of this family. */
const BEFORE_ALL = -300;

const table = podlinkBridgeTable;
const ports: NftSet = { table, name: "spoof_checked", key: ["ifname"] };
const senders: NftSet = { table, name: "spoof_allowed", key: ["ifname", "ether_addr"] };

function spoofChain(): FixedChain {
  return {
    chain: { table, name: "spoof_check", base: { type: "filter", hook: "prerouting", priority: BEFORE_ALL } },
    sets: [ports, senders],
    rules: [
      [
        "from a container under a MAC address that is not its own",
        inSet(["iifname"], ports),
        inSet(["iifname", "ether saddr"], senders, { not: true }),
        verdict("drop"),
      ],
    ],
  };
}

/** Lets the attachment's host link take frames from this MAC address alone. */
export function addSpoofCheck(
  host: NetworkNamespace,
  batch: Batch,
  { attachment, mac }: { attachment: NameParts; mac: string },
): void {
  ensureChain(host, batch, spoofChain());
  deleteSpoofCheck(host, batch, attachment); // of an ADD that died
  const port = hostLinkName(attachment);
  const { network, containerId, ifname } = attachment;
  // The MAC stands in the port's comment, because a DEL that knows only names needs it to find the other element
  batch.addElements(ports, [{ key: [port], comment: fitComment([port, network, mac, containerId, ifname]) }]);
  batch.addElements(senders, [{ key: [port, mac], comment: ownerComment(attachment) }]);
}

/** Ends the check of an attachment, found by its names alone. */
export function deleteSpoofCheck(host: NetworkNamespace, batch: Batch, attachment: NameParts): void {
  const port = hostLinkName(attachment);
  const found = host.nftables.element(ports, [port]);
  if (found === undefined) return;
  const mac = /^\S+ \S+ ([0-9a-f]{2}(?::[0-9a-f]{2}){5}) /.exec(found.comment ?? "")?.[1];
  if (mac !== undefined) batch.deleteElements(senders, [{ key: [port, mac] }], { ifPresent: true });
  else deleteOwned(host, batch, { attachment, sets: [senders] }); // a network's name so long that nothing else had room
  batch.deleteElements(ports, [{ key: [port] }], { ifPresent: true });
}

/** Ends the check of a network's attachments that are not valid any more. */
export function collectSpoofChecks(
  host: NetworkNamespace,
  batch: Batch,
  options: { network: string; valid: readonly Omit<NameParts, "network">[] },
): void {
  collectOwned(host, batch, { ...options, sets: [ports, senders] });
}

/** Compares what addSpoofCheck makes with what is there; every difference is kept in `failures`, by name. */
export function checkSpoofCheck(
  host: NetworkNamespace,
  failures: Failures,
  { attachment, mac }: { attachment: NameParts; mac: string },
): void {
  checkChain(host, failures, spoofChain());
  const port = hostLinkName(attachment);
  for (const [set, key] of [
    [ports, [port]],
    [senders, [port, mac]],
  ] as const) {
    failures.attempt(`find ${key.join(" . ")} in set "${setText(set)}"`, () => {
      const found = host.nftables.element(set, key);
      if (ownerOf(found?.comment) !== port) throw new Error("it is not there");
    });
  }
}

/** Asks the kernel whether it can check frames of bridges, and changes nothing. @throws NftablesError that names what it lacks */
export function rehearseSpoofCheck(host: NetworkNamespace): void {
  rehearseChain(host, spoofChain());
}
