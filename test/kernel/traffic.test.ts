import { beforeEach, describe, expect, it } from "vitest";
import { ensureIfb, findMissingShapers } from "../../src/link/ifb.ts";
import { findLink, getLink, type Link } from "../../src/link/links.ts";
import { type RateLimit, sameBucket, tokenBucket } from "../../src/link/token-bucket.ts";
import { limitRate, listRedirects, readQueue, redirectIngress, removeRedirect, unlimitRate } from "../../src/link/traffic.ts";
import { ipJson, output } from "../support/node.ts";
import { makePair, makeStage, type Stage } from "../support/stage.ts";

let stage: Stage;
let link: Link;
beforeEach(() => {
  stage = makeStage();
  link = makePair(stage.host, "v7");
});

const wish = { name: "plBtest", mtu: 1400, alias: "podlink test", alternativeName: "bwptest" };

interface TcQdisc {
  readonly kind: string;
  readonly options: { readonly rate: number; readonly burst: number; readonly lat: number };
}

const shown = (dev: string): TcQdisc[] => JSON.parse(output("tc", "-j", "qdisc", "show", "dev", dev));

describe("limitRate, readQueue, unlimitRate", () => {
  it.each<RateLimit>([
    { rate: 1000, burst: 5000 },
    { rate: 125_000, burst: 65_536 },
    { rate: 12_345_678, burst: 987_654 },
    { rate: 2 ** 32 - 1, burst: 10_000_000 },
    { rate: 2 ** 32, burst: 10_000_000 },
    { rate: 50_000_000_000, burst: 2_000_000_000 },
  ])("set and read rate $rate with burst $burst", (limit) => {
    limitRate(stage.host, link, limit);
    expect(readQueue(stage.host, link)).toEqual({ kind: "tbf", bucket: tokenBucket(limit) });
    const [{ kind, options } = { kind: "", options: { rate: 0, burst: 0, lat: 0 } }] = shown("v7");
    expect(kind).toBe("tbf");
    expect(options.rate).toBe(limit.rate);
    expect(Math.abs(options.burst - limit.burst) / limit.burst).toBeLessThan(0.001); // the buffer is kept as a time
    expect(Math.abs(options.lat - 25_000)).toBeLessThan(25_000 * 0.05);
  });

  it.each<RateLimit>([
    { rate: 1000, burst: 2 ** 29 - 1 },
    { rate: 125_000, burst: 2 ** 29 - 1 },
    { rate: 1, burst: 2 ** 32 - 2 },
    { rate: 3_000_000_000, burst: 2000 },
  ])("recognise rate $rate with burst $burst, longer or shorter than the kernel's attribute can say", (limit) => {
    limitRate(stage.host, link, limit);
    const { kind, bucket } = readQueue(stage.host, link);
    expect(kind).toBe("tbf");
    expect(bucket !== undefined && sameBucket(tokenBucket(limit), bucket)).toBe(true);
    expect(bucket !== undefined && sameBucket(tokenBucket({ ...limit, burst: limit.burst * 10 }), bucket)).toBe(false);
  });

  it("replace a limit that is there", () => {
    limitRate(stage.host, link, { rate: 1_000_000, burst: 100_000 });
    limitRate(stage.host, link, { rate: 2_000_000, burst: 100_000 });
    expect(readQueue(stage.host, link).bucket?.rate).toBe(2_000_000);
    expect(shown("v7")).toHaveLength(1);
  });

  it("record commands that tc takes and that mean the same", () => {
    const seen = () => [shown("v7"), output("tc", "filter", "show", "dev", "v7", "ingress").replace(/index \d+/, "")];
    limitRate(stage.host, link, { rate: 1_250_000, burst: 100_000 });
    redirectIngress(stage.host, link, ensureIfb(stage.host, wish));
    const ours = seen();
    const commands = stage.commands().filter((command) => command.startsWith("tc "));
    for (const place of ["root", "ingress"]) output("tc", "qdisc", "del", "dev", "v7", place);
    for (const command of commands) output("tc", ...command.split(" ").slice(1));
    expect(seen()).toEqual(ours);
  });

  it("read other kinds of queue, and none", () => {
    expect(readQueue(stage.host, link)).toEqual({ kind: "noqueue", bucket: undefined });
    expect(readQueue(stage.host, getLink(stage.host, "lo"))).toEqual({ kind: undefined, bucket: undefined });
    output("tc", "qdisc", "add", "dev", "v7", "root", "pfifo");
    expect(readQueue(stage.host, link)).toEqual({ kind: "pfifo", bucket: undefined });
  });

  it("take away a limit of ours and nothing else", () => {
    limitRate(stage.host, link, { rate: 1_000_000, burst: 100_000 });
    unlimitRate(stage.host, link);
    expect(readQueue(stage.host, link).kind).toBe("noqueue");
    output("tc", "qdisc", "add", "dev", "v7", "root", "handle", "2:", "tbf", "rate", "1mbit", "burst", "10000", "limit", "20000");
    unlimitRate(stage.host, link);
    expect(readQueue(stage.host, link).kind).toBe("tbf");
    output("tc", "qdisc", "replace", "dev", "v7", "root", "handle", "1:", "pfifo");
    unlimitRate(stage.host, link);
    expect(readQueue(stage.host, link).kind).toBe("pfifo");
  });
});

describe("redirectIngress, listRedirects, removeRedirect", () => {
  it("lead through another link, once", () => {
    const [one, two] = [ensureIfb(stage.host, wish), ensureIfb(stage.host, { ...wish, name: "plBtwo" })];
    redirectIngress(stage.host, link, one);
    redirectIngress(stage.host, link, one);
    expect(listRedirects(stage.host, link)).toEqual([one.index]);
    redirectIngress(stage.host, link, two);
    expect(listRedirects(stage.host, link)).toEqual([two.index]);
    output("ip", "link", "del", "plBtwo");
    expect(listRedirects(stage.host, link)).toEqual([0]);
    removeRedirect(stage.host, link);
    expect(shown("v7").map(({ kind }) => kind)).toEqual(["noqueue"]);
    expect(listRedirects(stage.host, link)).toEqual([]);
  });

  it("leave a link without any as it is", () => {
    removeRedirect(stage.host, link);
    expect(stage.commands()).toEqual([]);
  });
});

describe("ensureIfb", () => {
  it("makes one, up, and finds it again by either name", () => {
    const ifb = ensureIfb(stage.host, wish);
    expect(ipJson("link", "show", "dev", wish.name)).toMatchObject([
      { mtu: 1400, ifalias: "podlink test", altnames: ["bwptest"], linkinfo: { info_kind: "ifb" }, operstate: "UNKNOWN" },
    ]);
    expect(findLink(stage.host, "bwptest")).toEqual(findLink(stage.host, wish.name));
    output("ip", "link", "set", wish.name, "down");
    expect(ensureIfb(stage.host, { ...wish, mtu: 1300 })).toMatchObject({ index: ifb.index, mac: ifb.mac });
    expect(getLink(stage.host, wish.name)).toMatchObject({ up: true, mtu: 1300 });
  });

  it("goes without the other name where it is taken", () => {
    ensureIfb(stage.host, wish);
    const second = ensureIfb(stage.host, { ...wish, name: "plBtwo" });
    expect(findLink(stage.host, "bwptest")?.index).not.toBe(second.index);
  });

  it("does not take another kind of link for one", () => {
    expect(() => ensureIfb(stage.host, { ...wish, name: "v7" })).toThrow(
      'Cannot use "v7": a link of that name exists and is not an ifb',
    );
  });
});

describe("findMissingShapers", () => {
  it("misses nothing that the tests above use, and leaves nothing behind", () => {
    const before = output("ip", "link", "show");
    expect(findMissingShapers(stage.host)).toEqual([]);
    expect(output("ip", "link", "show")).toBe(before);
    expect(stage.commands()).toEqual([]);
  });
});
