import type { Json } from "./call-plugin.ts";
import type { Sandbox } from "./node.ts";

/** A result as far as tests of any type look into it; of an old one only the version is there. */
export interface Shown {
  readonly interfaces?: readonly { readonly name: string; readonly sandbox?: string }[];
  readonly ips?: readonly { readonly address: string; readonly interface?: number }[];
  readonly routes?: readonly { readonly dst: string; readonly gw?: string }[];
}

/** Something done to a container that CHECK has to find. */
export interface Damage {
  readonly title: string;
  /** @returns what mends it for the next, where that is needed */
  damage(): (() => void) | undefined;
}

/** Ways to spoil in the container what a result says is there; each answers how to mend it for the next. */
export function damagesOf({ interfaces = [], ips = [], routes = [] }: Shown, sandbox: Sandbox): Damage[] {
  const inside = interfaces.find((link) => link.sandbox !== undefined);
  if (inside === undefined) return [];
  const dev = ["dev", inside.name];
  const removals = [
    ...routes.map(({ dst }) => ({ title: `route ${dst} removed`, parameters: ["route", "del", dst, ...dev] })),
    ...ips.map(({ address }) => ({ title: `address ${address} removed`, parameters: ["address", "del", address, ...dev] })),
  ];
  return [
    ...removals.map(({ title, parameters }) => ({
      title,
      damage() {
        const family = title.includes("::") || title.includes("fd") ? ["-6"] : [];
        sandbox.ip(...family, ...parameters);
        return undefined;
      },
    })),
    {
      title: `link "${inside.name}" down`,
      damage() {
        sandbox.ip("link", "set", ...dev, "down");
        return undefined;
      },
    },
  ];
}

/** Parts of what CHECK says that leave open what there should be, or what there is in its place. */
export function vague(message: string): string[] {
  return message.split(/; (?=Cannot )/).filter((part) => {
    const isInstead = / is .+, expected /.test(part); // the MTU is 1280, expected 1450
    const isMissing =
      /^(Cannot check [^:"]+: )?Cannot find .+: .*(\bhas\b|\bhave\b|its .+ are|is not there|there is none|not found)/.test(part);
    const isIncomplete = /^Cannot check .+: it (lacks|does not exist|has .+, expected)/.test(part);
    return !isInstead && !isMissing && !isIncomplete;
  });
}

/** The addresses of a result, each replaced by one that nobody was given. */
export function wrongAddresses({ ips = [] }: Shown): Json[][] {
  const next = (address: string) =>
    address.replace(/(\w+)\/(\d+)$/, (_all, last: string, length: string) => `${last}9/${length}`);
  return ips.map((_one, wrong) => ips.map((ip, place) => (place === wrong ? { ...ip, address: next(ip.address) } : { ...ip })));
}
