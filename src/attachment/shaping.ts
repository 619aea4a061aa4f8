import type { Attachment, ValidAttachment } from "../cni/plugin.ts";
import { ensureIfb } from "../link/ifb.ts";
import { deleteLink, findLink, getLink, type Link, listLinks } from "../link/links.ts";
import { hostLinkName, linkAlias, networkShaperPrefix, shaperLinkName } from "../link/names.ts";
import { NetworkNamespace } from "../link/namespace.ts";
import { deleteLinks } from "../link/removal.ts";
import { formatBucket, type RateLimit, sameBucket, tokenBucket } from "../link/token-bucket.ts";
import { limitRate, listRedirects, readQueue, redirectIngress, removeRedirect, unlimitRate } from "../link/traffic.ts";
import { Failures } from "../support/errors.ts";
import type { Rollback } from "../support/rollback.ts";
import { sha512 } from "../support/sha512.ts";
import type { Steps } from "../support/steps.ts";
import { namesNetwork } from "./host-links.ts";
import { expectSame } from "./verify.ts";

/** What a container may receive and send; undefined is without limit. */
export interface Limits {
  readonly ingress: RateLimit | undefined;
  readonly egress: RateLimit | undefined;
}

/**
 * Limits an attachment's traffic at the host's end of its veth pair: what the container receives is what that link sends; what the
 * container sends is led through an ifb of the attachment's own.
 * @returns the ifb, where there is one
 */
export function shape(
  host: NetworkNamespace,
  port: Link,
  wish: { attachment: Attachment; limits: Limits; rollback: Rollback; steps: Steps },
): Link | undefined {
  const { attachment, limits, rollback, steps } = wish;
  rollback.defer(`take the limits off "${port.name}"`, () =>
    unshape({ port: port.name, shaper: shaperLinkName(attachment) }, steps),
  );
  if (limits.ingress !== undefined) limitRate(host, port, limits.ingress);
  if (limits.egress === undefined) return undefined;
  const shaper = ensureIfb(host, {
    name: shaperLinkName(attachment),
    mtu: port.mtu,
    alias: linkAlias(attachment, "attached"),
    alternativeName: referenceShaperName(attachment), // so that the reference's plugin can check it and delete it
  });
  limitRate(host, shaper, limits.egress);
  redirectIngress(host, port, shaper); // last: from here on the container sends through it
  return shaper;
}

/** Removes an attachment's limits by its names alone; none being there is fine. */
export function removeShaping(attachment: Attachment, steps: Steps): void {
  const shaper = shaperLinkName(attachment);
  if (unshape({ port: hostLinkName(attachment), shaper }, steps)) return;
  using host = NetworkNamespace.host(steps);
  const other = findReferenceShaper(host, attachment);
  if (other !== undefined) deleteLink(host, other.name);
}

/** The ifb of an attachment, by its names alone; none is fine. */
export function findShapers(host: NetworkNamespace, attachment: Attachment): Link[] {
  const shaper = findLink(host, shaperLinkName(attachment)) ?? findReferenceShaper(host, attachment);
  return shaper === undefined ? [] : [shaper];
}

/** @returns whether there was an ifb of that name */
function unshape(names: { port: string; shaper: string }, steps: Steps): boolean {
  using host = NetworkNamespace.host(steps);
  const port = findLink(host, names.port);
  const failures = new Failures();
  if (port !== undefined) {
    const tolerant = unlessGone(host, port);
    failures.attempt(`take the redirect off "${port.name}"`, () => tolerant(() => removeRedirect(host, port)));
    failures.attempt(`take the limit off "${port.name}"`, () => tolerant(() => unlimitRate(host, port)));
  }
  const found = failures.attempt(`delete link "${names.shaper}"`, () => deleteLink(host, names.shaper));
  failures.throwAny();
  return found === true;
}

/** For work on a link that the kernel may be deleting meanwhile, because the namespace at its other end has ended. */
function unlessGone(host: NetworkNamespace, { name }: Link): (work: () => void) => void {
  return (work) => {
    try {
      work();
    } catch (error) {
      if (findLink(host, name) !== undefined) throw error;
    }
  };
}

/** Deletes the ifbs of a network that belong to none of the attachments still valid. Goes on after errors and reports all. */
export function collectShapers(network: string, options: { valid: readonly ValidAttachment[]; steps: Steps }): void {
  using host = NetworkNamespace.host(options.steps);
  const prefix = networkShaperPrefix(network);
  const keep = new Set(options.valid.map((attachment) => shaperLinkName({ ...attachment, network })));
  const stale = listLinks(host, { kind: "ifb" }).filter(
    ({ name, alias }) => name.startsWith(prefix) && !keep.has(name) && namesNetwork(alias, network),
  );
  deleteLinks(host, stale);
}

/** Compares limits with what is there; every difference is kept in `failures`. What the reference made is as good. */
export function checkShaping(
  host: NetworkNamespace,
  port: Link,
  wish: { attachment: Attachment; limits: Limits; failures: Failures },
): void {
  const { attachment, limits, failures } = wish;
  const { ingress, egress } = limits;
  if (ingress !== undefined) {
    failures.attempt(`check what the container receives, at "${port.name}"`, () => expectRate(host, port, ingress));
  }
  if (egress === undefined) return;
  const shaper = failures.attempt("find the link that limits what the container sends", () => {
    const name = shaperLinkName(attachment);
    const found = findLink(host, name) ?? findReferenceShaper(host, attachment);
    if (found === undefined) throw new Error(`link "${name}" not found`);
    return found;
  });
  if (shaper !== undefined) {
    failures.attempt(`check what the container sends, at "${shaper.name}"`, () => {
      expectSame("its kind", { expected: "ifb", actual: shaper.kind });
      expectSame("its state", { expected: "up", actual: shaper.up ? "up" : "down" });
      expectRate(host, shaper, egress);
    });
  }
  failures.attempt(`check where "${port.name}" leads what the container sends`, () => {
    const targets = listRedirects(host, port).map((index) => (index === 0 ? "a link that is gone" : getLink(host, index).name));
    if (shaper !== undefined && targets.includes(shaper.name)) return;
    const actual = targets.length === 0 ? undefined : targets.join(", ");
    expectSame("the link it is redirected to", { expected: shaper?.name ?? shaperLinkName(attachment), actual });
  });
}

function expectRate(host: NetworkNamespace, link: Link, limit: RateLimit): void {
  const wanted = tokenBucket(limit);
  const { kind, bucket } = readQueue(host, link);
  if (bucket !== undefined && sameBucket(wanted, bucket)) return;
  const actual = bucket === undefined ? kind : `tbf ${formatBucket(bucket)}`;
  expectSame("its limit", { expected: `tbf ${formatBucket(wanted)}`, actual });
}

/** The ifb that the reference's plugin made, so that what it attached can be checked and detached. */
function findReferenceShaper(host: NetworkNamespace, attachment: Attachment): Link | undefined {
  const candidates = listLinks(host, { kind: "ifb" }).filter(({ name }) => name.startsWith(REFERENCE_PREFIX));
  if (candidates.length === 0) return undefined; // the usual case, in which the hash need not be computed
  const name = referenceShaperName(attachment);
  return candidates.find((link) => link.name === name);
}

const REFERENCE_PREFIX = "bwp";

/** By network and container alone: the second interface of a container in a network has none of its own. */
function referenceShaperName({ network, containerId }: Attachment): string {
  return REFERENCE_PREFIX + sha512(network + containerId).slice(0, 12);
}
