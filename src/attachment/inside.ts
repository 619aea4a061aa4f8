import { CniError, codes } from "../cni/error.ts";
import type { AddCall, Attachment, CheckCall, DelCall } from "../cni/plugin.ts";
import type { Dns, Result } from "../cni/result.ts";
import { announce } from "../link/announce.ts";
import { configureLink } from "../link/configure.ts";
import { deleteLink, findLink, getLink, type Link, setLink, setUp } from "../link/links.ts";
import { ADDING_GROUP, linkAlias } from "../link/names.ts";
import { NetworkNamespace, type Sandbox } from "../link/namespace.ts";
import { during, type Failures, reason } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import { shellWord } from "../support/shell-word.ts";
import type { Steps } from "../support/steps.ts";
import { isErrno } from "../sys/errno.ts";
import { Netns } from "../sys/netns.ts";
import { readAddressing } from "./addressing.ts";
import { leaseAddresses } from "./lease.ts";
import { openSandbox } from "./sandbox.ts";
import { addressingOf, expectSame, verifyAddresses, verifyRoutes } from "./verify.ts";

// For types that make one interface, which lives in the container alone. Nothing on the host bears its attachment's name, so what
// tells whose it is stands on the link itself: its group while ADD is at work, its alias from then on.

/** What a type wants of its attachment. */
export interface InsideWish {
  /** Undefined: no addresses, the link is only set up. */
  readonly ipamType: string | undefined;
  /** Addresses known already, with their routes; no IPAM is asked then. */
  readonly known?: Result | undefined;
  /** Of the configuration; replaces IPAM's when any key is there. */
  readonly dns: Dns | undefined;
  /** Wait for IPv6 duplicate address detection. */
  readonly detectDuplicates?: boolean;
  /** The kind takes no MAC address, so the kernel cannot be made to announce it beyond what it does by itself. */
  readonly unannounced?: boolean;
  /** `macvlan`, …: what a leftover must be to be ours. */
  readonly kind: string;
  /** Creates the link under `attachment.ifname` in the container, with its final name, MAC and MTU, in one request, in ADDING_GROUP. */
  make(sandbox: Sandbox): void;
}

/** How a type finds its link again. */
export interface InsideOptions {
  readonly kind: string;
  readonly ipamType: string | undefined;
}

/**
 * ADD: the link, its addresses from IPAM, up, routes, announced.
 * @returns one interface with its sandbox, and the addresses on it
 * @throws Error also when a link of that name is there, unless an ADD that was killed left it
 */
export function attachInside(call: AddCall<unknown>, rollback: Rollback, wish: InsideWish): Result {
  const { attachment, netns, steps } = call;
  const { containerId, ifname } = attachment;
  using sandbox = openSandbox(netns, steps);
  const { container } = sandbox;
  const hadLeftover = during(`attach "${ifname}" of "${containerId}"`, () => clearLeftover(container, { attachment, ...wish }));
  if (hadLeftover && wish.ipamType !== undefined) call.delegate(wish.ipamType).del();
  creatingLink(`create ${wish.kind} "${ifname}" in the container`, () => wish.make(sandbox));
  const undo = () => deleteInside(attachment, { netns, steps, kind: wish.kind });
  rollback.defer(`delete link "${ifname}" in the container`, undo);
  const inside = getLink(container, ifname);
  const addressed = addressInside(call, { wish, container, inside, rollback, undo });
  const alias = linkAlias(attachment, "attached"); // says that the ADD is whole: the last change of all
  setLink(container, inside, { command: `alias ${shellWord(alias)} group default`, message: { alias, group: 0 } });
  const { name, mac, mtu } = getLink(container, inside.index);
  return { interfaces: [{ name, mac, mtu, sandbox: netns }], ...addressed };
}

/** What the kernel says of a wish that will not do, the next time neither. */
const REFUSED = ["EINVAL", "ERANGE", "EADDRNOTAVAIL"];

function creatingLink(action: string, work: () => void): void {
  during(action, () => {
    try {
      work();
    } catch (error) {
      if (!isErrno(error, ...REFUSED)) throw error;
      throw new CniError(codes.invalidConfig, reason(error), { cause: error });
    }
  });
}

/** @returns whether a killed ADD had left its link; its lease is still to be released */
function clearLeftover(container: NetworkNamespace, { attachment, kind }: { attachment: Attachment; kind: string }): boolean {
  const present = findLink(container, attachment.ifname);
  if (present === undefined) return false;
  if (present.kind !== kind || present.group !== ADDING_GROUP) {
    const whose =
      present.alias === linkAlias(attachment, "attached")
        ? `, attached to network "${attachment.network}" by an earlier ADD: DEL it first`
        : "";
    throw new Error(`"${attachment.ifname}" already exists in the container${whose}`);
  }
  deleteLink(container, present.name);
  return true;
}

/** What is needed to give a link in the container its addresses. */
interface Addressee {
  readonly wish: Pick<InsideWish, "ipamType" | "known" | "dns" | "detectDuplicates" | "unannounced">;
  readonly container: NetworkNamespace;
  readonly inside: Link;
  readonly rollback: Rollback;
  /** Takes the link away again, once more: it must be gone before its addresses are released. */
  readonly undo: () => void;
}

/** The addresses, wherever they come from, on the link, which is up then. */
export function addressInside(call: AddCall<unknown>, parts: Addressee): Result {
  const { container, inside, rollback, wish } = parts;
  const { dns, ipamType, known } = wish;
  const ownDns = dns === undefined ? {} : { dns };
  if (known === undefined && ipamType === undefined) {
    setUp(container, inside);
    return ownDns;
  }
  const given = known ?? leaseAddresses(call, { type: ipamType ?? "", rollback });
  rollback.defer(`take link "${inside.name}" out of the container`, parts.undo); // undone newest first
  const { addresses, routes } = readAddressing(given);
  during(`configure "${inside.name}" in the container`, () =>
    configureLink(container, inside, {
      addresses: addresses.map(({ prefix }) => prefix),
      routes,
      detectDuplicates: wish.detectDuplicates === true,
    }),
  );
  if (wish.unannounced !== true) announce(container, inside);
  const { interfaces: _theirs, ...rest } = given;
  return { ...rest, ips: (rest.ips ?? []).map((ip) => ({ ...ip, interface: 0 })), ...ownDns };
}

/**
 * DEL: the link, if it is still somewhere, then its addresses, which are free only when nobody answers to them any more.
 * Neither needs the master, nor the namespace.
 */
export function detachInside(call: DelCall<unknown>, { kind, ipamType }: InsideOptions): void {
  const { attachment, netns, steps } = call;
  during(`detach "${attachment.ifname}" of "${attachment.containerId}"`, () => deleteInside(attachment, { netns, steps, kind }));
  if (ipamType !== undefined) call.delegate(ipamType).del();
}

/** Deletes the attachment's link; none being there is fine, and one of another kind or attachment is left alone. */
function deleteInside(attachment: Attachment, options: { netns: string | undefined; steps: Steps; kind: string }): void {
  const netns = Netns.tryOpen(options.netns);
  if (netns === undefined) return;
  using container = NetworkNamespace.container(netns, options.steps);
  const link = findLink(container, attachment.ifname);
  if (link === undefined || link.kind !== options.kind || isAnothers(link, attachment)) return;
  deleteLink(container, link.name);
}

/** The path may lead to another container's namespace by now. */
function isAnothers({ alias }: Link, attachment: Attachment): boolean {
  return alias?.startsWith("podlink ") === true && alias !== linkAlias(attachment, "attached");
}

/**
 * CHECK: what ADD made against what is there; every difference is kept in `failures`.
 * @param options.kind undefined: any
 * @param options.mtu of the configuration, for results of versions that do not have it; 0: any
 * @param options.verify throws on what is wrong of the kind's own
 */
export function checkInside(
  call: CheckCall<unknown>,
  failures: Failures,
  options: {
    readonly kind: string | undefined;
    readonly ipamType: string | undefined;
    readonly mtu?: number;
    verify?(link: Link, sandbox: Sandbox): void;
  },
): void {
  const { attachment, netns, prevResult, steps } = call;
  const { ifname } = attachment;
  const { ipamType, kind } = options;
  if (ipamType !== undefined) failures.attempt("check the addresses with IPAM", () => call.delegate(ipamType).check());
  using sandbox = openSandbox(netns, steps);
  const { container } = sandbox;
  const interfaces = prevResult.interfaces ?? [];
  const place = interfaces.findIndex((each) => each.name === ifname && each.sandbox !== undefined && each.sandbox !== "");
  const expected = interfaces[place];
  if (expected === undefined) throw new Error(`Cannot find "${ifname}" with a sandbox among the interfaces of prevResult`);
  failures.attempt("match the sandbox", () =>
    expectSame("the sandbox of prevResult", { expected: netns, actual: expected.sandbox }),
  );
  const link = failures.attempt(`find "${ifname}" in the container`, () => getLink(container, ifname));
  if (link === undefined) return;
  failures.attempt(`check "${ifname}" in the container`, () => {
    if (kind !== undefined) expectSame("its kind", { expected: kind, actual: link.kind });
    if (expected.mac !== undefined) expectSame("its MAC address", { expected: expected.mac.toLowerCase(), actual: link.mac });
    const mtu = expected.mtu ?? options.mtu ?? 0;
    if (mtu !== 0) expectSame("its MTU", { expected: mtu, actual: link.mtu });
    expectSame("its state", { expected: "up", actual: link.up ? "up" : "down" });
    options.verify?.(link, sandbox);
  });
  const plan = addressingOf(prevResult, place);
  verifyAddresses(container, link, { plan, failures });
  verifyRoutes(container, link, { plan, failures });
}
