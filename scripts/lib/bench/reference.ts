import { existsSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { pluginDirectory, pluginSuites } from "../../../test/support/reference.ts";
import { cache } from "../paths.ts";
import type { Parts } from "./measure.ts";

/** One way to run the reference. */
export interface Reference {
  /** In the table: `1.9.1`, `1.9.1 nftables`. */
  readonly label: string;
  readonly version: keyof typeof pluginSuites;
  readonly bin: string;
  /** What it masquerades and maps ports by. */
  readonly backend: "iptables" | "nftables";
}

/** The versions that could be had. */
export function references(): Reference[] {
  return versions().map((version) => ({ label: version, version, bin: pluginDirectory(version), backend: "iptables" }));
}

/** The same where rules are made: 1.9.1 makes them by either of two programs, 1.1.1 knows but one. */
export function referencesByBackend(): Reference[] {
  return references().flatMap((one) => {
    const backends = one.version === "1.1.1" ? (["iptables"] as const) : (["iptables", "nftables"] as const);
    return backends.map((backend) => ({ ...one, label: `${one.label} ${backend}`, backend }));
  });
}

/**
 * Its PATH. With nftables as its backend its DEL clears iptables too if that is there, which takes longer, and with Debian 12's iptables
 * fails: so there is only nft.
 */
export function programs({ backend }: Reference): string {
  if (backend === "iptables") return "/usr/sbin:/usr/bin:/sbin:/bin";
  const directory = join(cache, "only-nft");
  mkdirSync(directory, { recursive: true });
  if (!existsSync(join(directory, "nft"))) symlinkSync("/usr/sbin/nft", join(directory, "nft"));
  return directory;
}

function versions(): (keyof typeof pluginSuites)[] {
  const all = Object.keys(pluginSuites) as (keyof typeof pluginSuites)[];
  return all.filter((version) => existsSync(pluginDirectory(version))).sort();
}

/** Its failure must not end the bench: it has no figures from then on, and stderr says so. */
export function orLeftOut<P extends string>(name: string, run: () => Parts<P>): () => Parts<P> {
  const nothing: Parts<P> = Object.freeze({});
  let failed = false;
  return () => {
    if (failed) return nothing;
    try {
      return run();
    } catch (error) {
      failed = true;
      console.error(`${name} has failed and is left out from here on: ${error}`);
      return nothing;
    }
  };
}
