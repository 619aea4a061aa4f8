import { isObject, type JsonObject } from "../cni/json.ts";
import type { ListedLease } from "../ipam/lease-list.ts";
import type { StoredAttachment } from "../runtime/cache.ts";

/** One line of `podlink list`: an attachment, or leases that no attachment is remembered for. */
export interface Row {
  readonly network: string;
  readonly container: string;
  /** Absent for a lease of the earliest format, which has the container alone. */
  readonly interface?: string;
  /** As in the result, `10.1.2.3/24`; those of leases alone have no length. */
  readonly addresses: readonly string[];
  readonly hostInterface?: string;
  /** Path of the container's namespace at the addition. */
  readonly netns?: string;
  /** ISO 8601. */
  readonly since: string;
  /** Whether the addition's result is remembered. Without it this is a lease alone. */
  readonly attached: boolean;
}

/** Attachments and the leases without one, by network, then oldest first. */
export function rowsOf(attachments: readonly StoredAttachment[], leases: readonly ListedLease[]): Row[] {
  const attached = attachments.map(attachmentRow);
  const known = new Set(attachments.map(({ network, containerId, ifname }) => `${network} ${containerId} ${ifname}`));
  const alone = new Map<string, Row>();
  for (const { network, containerId, ifname, address, mtimeMs } of leases) {
    const key = `${network} ${containerId} ${ifname}`;
    if (
      known.has(key) ||
      (ifname === "" && attachments.some((one) => one.network === network && one.containerId === containerId))
    )
      continue;
    const row = alone.get(key);
    const addresses = [...(row?.addresses ?? []), address];
    const since = row?.since ?? new Date(mtimeMs).toISOString();
    alone.set(key, {
      network,
      container: containerId,
      ...(ifname === "" ? {} : { interface: ifname }),
      addresses,
      since,
      attached: false,
    });
  }
  return [...attached, ...alone.values()].sort(
    (a, b) => compare(a.network, b.network) || compare(a.since, b.since) || compare(a.container, b.container),
  );
}

function attachmentRow({ network, containerId, ifname, netns, result, addedMs }: StoredAttachment): Row {
  const hostInterface = hostInterfaceOf(result ?? {});
  return {
    network,
    container: containerId,
    interface: ifname,
    addresses: addressesOf(result ?? {}),
    ...(hostInterface === undefined ? {} : { hostInterface }),
    ...(netns === undefined ? {} : { netns }),
    since: new Date(addedMs).toISOString(),
    attached: true,
  };
}

/** From 0.3.0 on `ips[].address`, before that `ip4.ip` and `ip6.ip`. */
function addressesOf(result: JsonObject): string[] {
  const entries = objects(result.ips).map(({ address }) => address);
  const old = [result.ip4, result.ip6].filter(isObject).map(({ ip }) => ip);
  return [...entries, ...old].filter((address) => typeof address === "string");
}

/** The last one that is not in the container: a bridge comes before its port. */
function hostInterfaceOf(result: JsonObject): string | undefined {
  const outside = objects(result.interfaces).filter(({ sandbox }) => sandbox === undefined || sandbox === "");
  const name = outside.at(-1)?.name;
  return typeof name === "string" ? name : undefined;
}

function objects(value: unknown): JsonObject[] {
  return Array.isArray(value) ? value.filter(isObject) : [];
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
