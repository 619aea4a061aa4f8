import { hostLinkName } from "../link/names.ts";
import type { NetworkNamespace } from "../link/namespace.ts";
import { setKind, setText } from "../netlink/netfilter/set.ts";
import type { Failures } from "../support/errors.ts";
import { formatHostPort } from "./host-port.ts";
import { describeOwner, isSameContainer, readOwner } from "./host-port-owner.ts";
import { itemOfPort, itemOfTarget, portOwners, readPort, sameData } from "./host-port-sets.ts";
import { chainsOf, type HostPortPlan } from "./host-ports.ts";
import { expectUse } from "./link-use.ts";
import { Lists } from "./lists.ts";
import { answering, isOpen } from "./loopback.ts";
import { keyText, placeOf } from "./owned.ts";
import { checkChain } from "./rules.ts";
import { targetOf } from "./shared-chain.ts";

/** Compares a plan with what is there; every difference is kept in `failures`. What the same container has by another interface is as good. */
export function checkHostPorts(host: NetworkNamespace, failures: Failures, plan: HostPortPlan): void {
  for (const chain of chainsOf(plan)) checkChain(host, failures, chain);
  const self = readOwner(plan.comment);
  const name = [hostLinkName(plan.attachment)];
  const lists = new Lists(host, portOwners());
  const found = host.nftables.find(plan.ports.map(({ entry }) => placeOf(entry)));
  for (const [at, { port, entry }] of plan.ports.entries()) {
    failures.attempt(`find host port ${formatHostPort(port)}`, () => {
      const present = found[at];
      if (present === undefined) throw new Error(`map "${setText(entry.set)}" has no such element`);
      const owner = readOwner(present.comment);
      if (!isSameContainer(owner, self)) throw new Error(`it belongs to ${describeOwner(owner)}`);
      if (owner.id !== self.id) return;
      lists.expect(name, itemOfPort(entry));
      if (sameData(present, entry.element)) return;
      const [actual, expected] = [present, entry.element].map((element) => describeTarget({ set: entry.set, element }));
      throw new Error(`it leads to ${actual}, expected ${expected}`);
    });
  }
  for (const { set, element, target } of plan.others) {
    failures.attempt(`find ${keyText(element.key)} in ${setKind(set)} "${setText(set)}"`, () => {
      const present = host.nftables.element(set, element.key);
      if (present === undefined) throw new Error("it is not there");
      if (sameData(present, element)) return;
      throw new Error(`it leads to chain "${targetOf(present) ?? ""}", expected "${targetOf(element) ?? ""}"`);
    });
    failures.attempt(`find whose ${target} is`, () => {
      lists.expect(name, itemOfTarget(target));
    });
  }
  const { loopbackLink } = plan;
  if (loopbackLink === undefined) return;
  failures.attempt(`find the use of "${loopbackLink}" at 127.0.0.1`, () => {
    expectUse(host, { use: answering(), attachment: plan.attachment, link: loopbackLink });
  });
  if (isOpen(host, loopbackLink)) return;
  failures.attempt("check host ports at 127.0.0.1", () => {
    throw new Error(`sysctl "net/ipv4/conf/${loopbackLink}/route_localnet" is 0, expected 1`);
  });
}

function describeTarget(entry: Parameters<typeof readPort>[0]): string {
  const port = readPort(entry);
  return port === undefined ? "nowhere" : `${port.target} port ${port.containerPort}`;
}
