import { flags, type NetlinkRequest } from "../netlink/connection.ts";
import { TC_ACT_STOLEN, TCA_EGRESS_REDIR } from "../netlink/route/action.ts";
import { ETH_P_ALL, type FilterMessage, filterInfo, filterMessage, U32_TERMINAL } from "../netlink/route/filter.ts";
import { RTM } from "../netlink/route/message-types.ts";
import { handleOf, type QdiscMessage, qdiscMessage, TC_H, TC_LINKLAYER_ETHERNET } from "../netlink/route/qdisc.ts";
import { shellWord } from "../support/shell-word.ts";
import { isErrno } from "../sys/errno.ts";
import type { NetworkNamespace } from "./namespace.ts";
import { fitsBuffer, MAX_U32, type RateLimit, type TokenBucket, tokenBucket } from "./token-bucket.ts";

// A link's rate is limited where it sends. What it receives can be limited too, when it is led through another link first: an ifb
// ("intermediate functional block"), which sends it to where it was going.

interface LinkRef {
  readonly name: string;
  readonly index: number;
}

/** The handle `1:`, as the reference has it. */
const ROOT_HANDLE = handleOf(1);
const INGRESS_HANDLE = handleOf(0xffff);

/** The filter that leads everything away: the first of the first priority, again as the reference has it. */
const REDIRECT = { info: filterInfo(1, ETH_P_ALL), handle: 0x80000800, parent: TC_H.MIN_INGRESS } as const;

/** Limits what a link sends. A limit that is there already is replaced. */
export function limitRate(namespace: NetworkNamespace, link: LinkRef, limit: RateLimit): void {
  const { rate, limit: bytes, buffer } = tokenBucket(limit);
  const fits = fitsBuffer(buffer);
  const body = qdiscMessage.encode({
    index: link.index,
    handle: ROOT_HANDLE,
    parent: TC_H.ROOT,
    kind: "tbf",
    options: {
      parameters: {
        linkLayer: TC_LINKLAYER_ETHERNET,
        rate: Math.min(rate, MAX_U32),
        limit: bytes,
        buffer: fits ? buffer : MAX_U32,
      },
      burst: fits ? undefined : limit.burst,
      rate64: rate > MAX_U32 ? BigInt(rate) : undefined,
    },
  });
  const words = `tbf rate ${rate * 8}bit burst ${limit.burst} limit ${bytes}`;
  namespace.change(`tc qdisc replace dev ${shellWord(link.name)} root handle 1: ${words}`, () =>
    namespace.netlink.change({ type: RTM.NEWQDISC, flags: flags.CREATE | flags.REPLACE, body }),
  );
}

/** What a link's packets wait in before they are sent: its kind, and the limit where it has one. */
export interface Queue {
  /** `tbf`, `noqueue`, …; undefined when there is none, because the link is down and never was up. */
  readonly kind: string | undefined;
  readonly bucket: TokenBucket | undefined;
}

/** Reads how a link sends. */
export function readQueue(namespace: NetworkNamespace, link: LinkRef): Queue {
  const qdisc = findQdisc(namespace, link, TC_H.ROOT);
  const options = qdisc?.options instanceof Uint8Array ? undefined : qdisc?.options;
  if (options?.parameters === undefined) return { kind: qdisc?.kind, bucket: undefined };
  const { rate = 0, limit = 0, buffer = 0 } = options.parameters;
  return { kind: qdisc?.kind, bucket: { rate: Number(options.rate64 ?? rate), limit, buffer } };
}

function findQdisc(namespace: NetworkNamespace, link: LinkRef, parent: number): QdiscMessage | undefined {
  const body = qdiscMessage.encode({ index: link.index, parent });
  try {
    // Without ECHO the kernel tells everybody who listens, but not who asked
    const answer = namespace.netlink.find({ type: RTM.GETQDISC, flags: flags.ECHO, body });
    return answer === undefined ? undefined : qdiscMessage.decode(answer);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** Leads all that a link receives through another one. A redirect of ours or the reference's that is there already is replaced. */
export function redirectIngress(namespace: NetworkNamespace, link: LinkRef, target: LinkRef): void {
  const { parent, handle, info } = REDIRECT;
  const ingress = qdiscMessage.encode({ index: link.index, handle: INGRESS_HANDLE, parent: TC_H.INGRESS, kind: "ingress" });
  namespace.change(`tc qdisc add dev ${shellWord(link.name)} ingress`, () => {
    try {
      namespace.netlink.change({ type: RTM.NEWQDISC, flags: flags.CREATE | flags.EXCL, body: ingress });
    } catch (error) {
      if (!isErrno(error, "EEXIST")) throw error; // this one or clsact, which does as well
    }
  });
  const body = filterMessage.encode({
    index: link.index,
    parent,
    handle,
    info,
    kind: "u32",
    options: {
      classId: ROOT_HANDLE + 1, // means nothing here; it is the reference's
      actions: [
        {
          kind: "mirred",
          options: { parameters: { action: TC_ACT_STOLEN, direction: TCA_EGRESS_REDIR, index: target.index } },
        },
      ],
      selector: { flags: U32_TERMINAL, keys: [{}] }, // a key whose mask is empty: every packet has it
    },
  });
  const words = `protocol all prio 1 handle 800::800 u32 match u32 0 0 flowid 1:1 action mirred egress redirect dev ${shellWord(target.name)}`;
  namespace.change(`tc filter replace dev ${shellWord(link.name)} ingress ${words}`, () =>
    namespace.netlink.change({ type: RTM.NEWTFILTER, flags: flags.CREATE, body }),
  );
}

/** Indexes of the links through which filters of whatever origin lead what a link receives; 0 for one that is gone. */
export function listRedirects(namespace: NetworkNamespace, link: LinkRef): number[] {
  return listFilters(namespace, link)
    .flatMap(({ options }) => (options === undefined || options instanceof Uint8Array ? [] : (options.actions ?? [])))
    .flatMap(({ options }) => (options === undefined || options instanceof Uint8Array ? [] : (options.parameters ?? [])))
    .filter(({ direction }) => direction === TCA_EGRESS_REDIR)
    .map(({ index = 0 }) => index);
}

function listFilters(namespace: NetworkNamespace, link: LinkRef): FilterMessage[] {
  const body = filterMessage.encode({ index: link.index, parent: TC_H.MIN_INGRESS });
  return namespace.netlink.dump({ type: RTM.GETTFILTER, body }).map((reply) => filterMessage.decode(reply));
}

/** Takes away a limit that limitRate put on a link; anything else stays. */
export function unlimitRate(namespace: NetworkNamespace, link: LinkRef): void {
  if (readQueue(namespace, link).kind !== "tbf") return;
  const body = qdiscMessage.encode({ index: link.index, handle: ROOT_HANDLE, parent: TC_H.ROOT, kind: "tbf" });
  remove(namespace, `tc qdisc del dev ${shellWord(link.name)} root handle 1:`, { type: RTM.DELQDISC, body });
}

/** Takes away what redirectIngress made: its filter, and the qdisc unless other filters stand there. */
export function removeRedirect(namespace: NetworkNamespace, link: LinkRef): void {
  if (listRedirects(namespace, link).length > 0) {
    const words = "protocol all prio 1 handle 800::800 u32";
    const filter = filterMessage.encode({ index: link.index, ...REDIRECT, kind: "u32" });
    remove(namespace, `tc filter del dev ${shellWord(link.name)} ingress ${words}`, { type: RTM.DELTFILTER, body: filter });
  }
  if (findQdisc(namespace, link, TC_H.INGRESS)?.kind !== "ingress" || listFilters(namespace, link).length > 0) return;
  const body = qdiscMessage.encode({ index: link.index, handle: INGRESS_HANDLE, parent: TC_H.INGRESS, kind: "ingress" });
  remove(namespace, `tc qdisc del dev ${shellWord(link.name)} ingress`, { type: RTM.DELQDISC, body });
}

/** What somebody else has taken away in the meantime need not go. */
function remove(namespace: NetworkNamespace, command: string, request: NetlinkRequest): void {
  namespace.change(command, () => {
    try {
      namespace.netlink.change(request);
    } catch (error) {
      if (!isErrno(error, "ENOENT", "EINVAL", "ENODEV")) throw error;
    }
  });
}
