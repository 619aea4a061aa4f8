import { hostLinkName, type NameParts } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import type { Batch } from "../netlink/netfilter/batch.ts";
import type { NftSet } from "../netlink/netfilter/set.ts";
import { inSet } from "../netlink/netfilter/statements/lookup.ts";
import { verdict } from "../netlink/netfilter/statements/verdict.ts";
import type { Failures } from "../support/errors.ts";
import { collectUse, expectUse, joinUse, type LinkUse, leaveUse, linkOfUser, usersMap } from "./link-use.ts";
import { collectOwned, deleteOwned, findOwn, ownerComment, ownerOf } from "./owned.ts";
import { checkChain, ensureChain, type FixedChain } from "./rules.ts";
import { podlinkBridgeTable, podlinkTable } from "./table.ts";

// From which containers a container of a bridge can be reached:
//   same-bridge  those of its bridge and of bridges without a policy, not those of another bridge with one
//   isolated     as same-bridge, and from none of its bridge
// What comes from elsewhere, and what the host itself sends, is not touched. A packet costs three lookups at most, whatever is attached.

export type IngressPolicy = "same-bridge" | "isolated";

/** Where an attachment is. */
export interface PolicyPlace {
  readonly attachment: NameParts;
  readonly bridge: string;
  /** The bridge's port that leads to the container. */
  readonly port: string;
}

/** Makes a policy hold for an attachment, or another one than before. */
export function addIngressPolicy(
  host: NetworkNamespace,
  batch: Batch,
  wish: PolicyPlace & { readonly policy: IngressPolicy },
): void {
  const { attachment, bridge, policy } = wish;
  ensureChain(host, batch, routedChain());
  joinUse(host, batch, { use: guarding(), attachment, link: bridge });
  if (policy === "isolated") {
    ensureChain(host, batch, bridgedChain());
    joinUse(host, batch, { use: isolating(), attachment, link: bridge });
    isolatePort(host, batch, wish);
  } else endIsolation(host, batch, attachment);
}

/** Ends an attachment's policy; where it has none, nothing is done. */
export function deleteIngressPolicy(host: NetworkNamespace, batch: Batch, attachment: NameParts): void {
  leaveUse(host, batch, { use: guarding(), attachment });
  endIsolation(host, batch, attachment);
}

/** Ends the policies of a network's attachments that are not valid any more. */
export function collectIngressPolicies(
  host: NetworkNamespace,
  batch: Batch,
  options: { network: string; valid: readonly Omit<NameParts, "network">[] },
): void {
  for (const use of [guarding(), isolating()]) collectUse(host, batch, { use, ...options });
  collectOwned(host, batch, { ...options, sets: [isolatedPorts()] });
}

/** Keeps in `failures` what is missing of an attachment's policy. */
export function checkIngressPolicy(
  host: NetworkNamespace,
  failures: Failures,
  wish: PolicyPlace & { readonly policy: IngressPolicy },
): void {
  const { attachment, bridge, policy, port } = wish;
  const isolated = policy === "isolated";
  for (const wanted of isolated ? [routedChain(), bridgedChain()] : [routedChain()]) checkChain(host, failures, wanted);
  for (const use of isolated ? [guarding(), isolating()] : [guarding()]) {
    failures.attempt(`find policy ${policy} of "${bridge}"`, () => expectUse(host, { use, attachment, link: bridge }));
  }
  if (!isolated) return;
  failures.attempt(`find port "${port}" isolated`, () => {
    if (host.nftables.element(isolatedPorts(), [port]) === undefined) {
      throw new Error(`set "${isolatedPorts().name}" of table "bridge podlink" has no element "${port}"`);
    }
  });
}

function endIsolation(host: NetworkNamespace, batch: Batch, attachment: NameParts): void {
  const key = [hostLinkName(attachment)];
  const [own] = findOwn(host, { attachment, places: [{ set: isolatedPorts(), key }] });
  if (own !== undefined) batch.deleteElements(isolatedPorts(), [own.element], { ifPresent: true });
  if (linkOfUser(host, { use: isolating(), attachment }) === undefined) return;
  leaveUse(host, batch, { use: isolating(), attachment });
  // A port that another plugin made has a name that does not follow from the attachment's
  if (own === undefined) deleteOwned(host, batch, { attachment, sets: [isolatedPorts()] });
}

function isolatePort(host: NetworkNamespace, batch: Batch, { attachment, port }: PolicyPlace): void {
  const comment = ownerComment(attachment);
  const present = host.nftables.element(isolatedPorts(), [port]);
  if (present !== undefined && ownerOf(present.comment) === ownerOf(comment)) return;
  // A link whose name somebody else's had before: an element keeps its comment unless it is made anew
  if (present !== undefined) batch.deleteElements(isolatedPorts(), [present]);
  batch.addElements(isolatedPorts(), [{ key: [port], comment }]);
}

function bridges(): NftSet {
  return { table: podlinkTable, name: "policy_bridges", key: ["ifname"] };
}

/** Each bridge with a policy paired with itself: a rule cannot compare two names of one packet. */
function ownBridge(): NftSet {
  return { table: podlinkTable, name: "policy_same_bridge", key: ["ifname", "ifname"] };
}

function isolatedBridge(): NftSet {
  return { table: podlinkTable, name: "policy_isolated", key: ["ifname", "ifname"] };
}

function isolatedPorts(): NftSet {
  return { table: podlinkBridgeTable, name: "isolated_ports", key: ["ifname"] };
}

function guarding(): LinkUse {
  return {
    users: usersMap("policy_users", "attachments whose bridge has an ingress policy"),
    marks: (link) => [
      [bridges(), { key: [link] }],
      [ownBridge(), { key: [link, link] }],
    ],
  };
}

function isolating(): LinkUse {
  return {
    users: usersMap("isolated_users", "attachments whose bridge is isolated"),
    marks: (link) => [[isolatedBridge(), { key: [link, link] }]],
  };
}

/** What the host routes: between bridges, between containers with a route of their own, and what br_netfilter shows of bridged packets. */
function routedChain(): FixedChain {
  return {
    chain: { table: podlinkTable, name: "ingress_policy", base: { type: "filter", hook: "forward", priority: 0 } },
    sets: [bridges(), ownBridge(), isolatedBridge()],
    rules: [
      [
        "containers of an isolated bridge do not reach each other",
        inSet(["iifname", "oifname"], isolatedBridge()),
        verdict("drop"),
      ],
      ["a bridge's own traffic", inSet(["iifname", "oifname"], ownBridge()), verdict("accept")],
      [
        "bridges with a policy do not reach each other",
        inSet(["iifname"], bridges()),
        inSet(["oifname"], bridges()),
        verdict("drop"),
      ],
    ],
  };
}

/** What the bridge passes from port to port by itself. */
function bridgedChain(): FixedChain {
  return {
    chain: { table: podlinkBridgeTable, name: "ingress_policy", base: { type: "filter", hook: "forward", priority: -200 } },
    sets: [isolatedPorts()],
    rules: [
      [
        "isolated containers do not reach each other",
        inSet(["iifname"], isolatedPorts()),
        inSet(["oifname"], isolatedPorts()),
        verdict("drop"),
      ],
    ],
  };
}
