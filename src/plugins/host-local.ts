import { join } from "node:path";
import {
  array,
  exactOptional,
  type InferOutput,
  integer,
  looseObject,
  maxValue,
  minValue,
  number,
  object,
  pipe,
  string,
} from "valibot";
import { addressOrCidr, path, route } from "../cni/config.ts";
import { CniError, codes } from "../cni/error.ts";
import { type AddCall, type Attachment, type Call, type ConfigContext, definePlugin } from "../cni/plugin.ts";
import type { IpConfig, Result, Route } from "../cni/result.ts";
import { atLeast } from "../cni/version.ts";
import { Address } from "../ip/address.ts";
import { Prefix } from "../ip/prefix.ts";
import { allocate, assignRequests, type Grant, UnavailableError } from "../ipam/allocator.ts";
import { findFull, whyNotWritable } from "../ipam/availability.ts";
import { defaultDataDirectory } from "../ipam/index-place.ts";
import { checkLeases, holdsNothing } from "../ipam/lease-check.ts";
import { type Owner, ownerName } from "../ipam/lease-file.ts";
import { LeaseStore, type StoreOptions } from "../ipam/lease-store.ts";
import { makeRangeSets, type RangeSet } from "../ipam/range-set.ts";
import { release, releaseGrants, releaseStale } from "../ipam/release.ts";
import { parseResolvConf, type ResolvConf } from "../ipam/resolv-conf.ts";
import { readBounded } from "../support/bounded-file.ts";
import { during, reason } from "../support/errors.ts";
import { isErrno } from "../sys/errno.ts";
import { LockTimeoutError } from "../sys/file-lock.ts";

// Addresses stay text here: Range says more exactly what is wrong with them, and DEL needs none of them.
const range = object({
  subnet: string(),
  rangeStart: exactOptional(string()),
  rangeEnd: exactOptional(string()),
  gateway: exactOptional(string()),
});

const ips = array(addressOrCidr);

function schema() {
  return object({
    ipam: object({
      type: exactOptional(string()),
      name: exactOptional(string()),
      ...range.entries, // one range of older configurations
      subnet: exactOptional(string()),
      ranges: exactOptional(array(array(range))),
      routes: exactOptional(array(route)),
      dataDir: exactOptional(path),
      resolvConf: exactOptional(path),
      // not in the reference, which waits for ever
      lockTimeoutMs: exactOptional(pipe(number(), integer(), minValue(0), maxValue(600_000))),
    }),
    runtimeConfig: exactOptional(looseObject({ ipRanges: exactOptional(array(array(range))), ips: exactOptional(ips) })),
    args: exactOptional(looseObject({ cni: exactOptional(looseObject({ ips: exactOptional(ips) })) })),
  });
}

type Keys = InferOutput<ReturnType<typeof schema>>;

interface Config {
  readonly dataDir: string;
  readonly lockTimeoutMs: number;
  readonly resolvConf: string | undefined;
  readonly routes: readonly Route[];
  /** Empty for DEL and GC, which must work whatever has become of the ranges since. */
  readonly sets: readonly RangeSet[];
  /** By range set: the address asked for. */
  readonly requests: readonly (Address | undefined)[];
}

/** Addresses from ranges, leased in files on this node; drop-in for the reference's plugin and its directories. */
export const hostLocal = definePlugin<Keys, Config>({
  type: "host-local",
  ipam: true,
  schema,
  resolve,

  add(call, rollback): Result {
    const { config } = call;
    const owner = ownerOf(call.attachment);
    return leasing(`lease an address for ${ownerName(owner)}`, () => {
      const dns = readResolvConf(config.resolvConf);
      const grants = lease(call, owner);
      rollback.defer(`release ${grants.map(({ address }) => address.address).join(", ")}`, () => {
        using store = LeaseStore.open(dirOf(call), storeOptions(call));
        if (store !== undefined) releaseGrants(store, owner, grants);
      });
      const routes = config.routes.length > 0 ? { routes: [...config.routes] } : {};
      return { ips: grants.map(toIp), ...routes, dns };
    });
  },

  check(call) {
    const addresses = (call.prevResult.ips ?? []).flatMap((ip) => Prefix.tryParse(ip.address)?.address ?? []);
    const ours = addresses.filter((address) => call.config.sets.some((set) => set.rangeOf(address) !== undefined));
    const owner = ownerOf(call.attachment);
    during(`find the leases of ${ownerName(owner)}`, () => checkLeases(dirOf(call), owner, ours));
  },

  del(call) {
    const owner = ownerOf(call.attachment);
    leasing(`release the addresses of ${ownerName(owner)}`, () => {
      try {
        using store = LeaseStore.open(dirOf(call), storeOptions(call));
        if (store !== undefined) release(store, owner);
      } catch (error) {
        // a disk that takes no changes is no reason to keep a container that has nothing on it
        if (!isCausedBy(error, "EROFS") || !holdsNothing(dirOf(call), owner)) throw error;
      }
    });
  },

  gc(call) {
    leasing(`release stale leases of network "${call.network}"`, () => {
      using store = LeaseStore.open(dirOf(call), storeOptions(call));
      if (store !== undefined) releaseStale(store, call.valid.map(ownerOf));
    });
  },

  status(call) {
    const dir = dirOf(call);
    const why = whyNotWritable(dir);
    if (why !== undefined) throw new CniError(codes.unavailable, `Cannot write leases into "${dir}": ${why}`);
    const full = during(`count leases in "${dir}"`, () => findFull(dir, call.config.sets));
    if (full.length > 0) {
      const details = `leases are the files in "${dir}"; GC removes those of containers that are gone`;
      throw new CniError(codes.unavailable, `no IP addresses available in range set: ${full.join("; ")}`, { details });
    }
  },
});

function resolve(keys: Keys, context: ConfigContext): Config {
  const { dataDir = "", resolvConf = "", lockTimeoutMs = 10_000, routes = [] } = keys.ipam;
  const needsRanges = !["DEL", "GC"].includes(context.command);
  const sets = needsRanges ? resolveRanges(keys, context) : [];
  return {
    dataDir: dataDir === "" ? defaultDataDirectory : dataDir,
    lockTimeoutMs,
    resolvConf: resolvConf === "" ? undefined : resolvConf,
    routes,
    sets,
    requests: context.command === "ADD" ? configured(() => assignRequests(sets, requestedAddresses(keys, context))) : [],
  };
}

function resolveRanges({ ipam, runtimeConfig }: Keys, { cniVersion }: ConfigContext): RangeSet[] {
  const { subnet = "", rangeStart, rangeEnd, gateway } = ipam;
  const single = subnet === "" ? [] : [[{ subnet, rangeStart, rangeEnd, gateway }]];
  const specs = [...(runtimeConfig?.ipRanges ?? []), ...single, ...(ipam.ranges ?? [])];
  if (specs.length === 0) {
    throw new CniError(codes.invalidConfig, "no IP ranges specified", {
      details: 'host-local needs "ranges" or "subnet" in "ipam"',
    });
  }
  const sets = configured(() => makeRangeSets(specs));
  const families = new Set(sets.map(({ family }) => family));
  if (families.size < sets.length && !atLeast(cniVersion, "0.3.0")) {
    throw new CniError(codes.invalidConfig, `CNI version ${cniVersion} does not support more than 1 address per family`);
  }
  return sets;
}

/** All three ways to ask for addresses add up, as in the reference; a prefix length is left out. */
function requestedAddresses({ args, runtimeConfig }: Keys, context: ConfigContext): Address[] {
  const single = context.args.get("IP") ?? "";
  const texts = [...(single === "" ? [] : [single]), ...(args?.cni?.ips ?? []), ...(runtimeConfig?.ips ?? [])];
  return texts.map((text) => {
    const address = Address.tryParse(text) ?? Prefix.tryParse(text)?.address;
    if (address === undefined) throw new CniError(codes.invalidConfig, `IP in CNI_ARGS is "${text}", expected an IP address`);
    return address;
  });
}

function lease(call: AddCall<Config>, owner: Owner): Grant[] {
  const { sets, requests } = call.config;
  using store = LeaseStore.create(dirOf(call), { ...storeOptions(call), netns: call.netns });
  return allocate(store, { sets, requests, owner, warn: (message) => call.warn(message) });
}

function toIp({ address, gateway }: Grant): IpConfig {
  return { address: address.toString(), gateway: gateway.toString() };
}

/** More than a resolver reads of it. */
const RESOLV_CONF_BYTES = 1_048_576;

function readResolvConf(file: string | undefined): ResolvConf {
  if (file === undefined) return {};
  return during(`read resolvConf "${file}"`, () =>
    parseResolvConf(readBounded(file, { maxBytes: RESOLV_CONF_BYTES, follow: true })),
  );
}

function dirOf({ config, network }: Call<Config>): string {
  return join(config.dataDir, network);
}

function storeOptions(call: Call<Config>): StoreOptions {
  return { steps: call.steps, warn: (message: string) => call.warn(message), lockTimeoutMs: call.config.lockTimeoutMs };
}

function ownerOf({ containerId, ifname }: Pick<Attachment, "containerId" | "ifname">): Owner {
  return { id: containerId, ifname };
}

function isCausedBy(error: unknown, errno: string): boolean {
  return isErrno(error, errno) || (error instanceof Error && error.cause !== undefined && isCausedBy(error.cause, errno));
}

/** What is wrong with ranges and requests is wrong with the configuration. */
function configured<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw error instanceof RangeError ? new CniError(codes.invalidConfig, reason(error), { cause: error }) : error;
  }
}

/**
 * As `during`, with code 11 where waiting helps: the lock is held, or the address is. A full range is such a case: an address comes
 * back with every container that goes, and nothing in the configuration or on the node is at fault.
 */
function leasing<T>(action: string, work: () => T): T {
  try {
    return during(action, work);
  } catch (error) {
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
      if (cause instanceof UnavailableError || cause instanceof LockTimeoutError) {
        throw new CniError(codes.tryAgainLater, reason(error), { cause: error });
      }
    }
    throw error;
  }
}
