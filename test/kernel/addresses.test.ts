import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Prefix } from "../../src/ip/prefix.ts";
import { addAddress, anywhere, deleteAddress, listAddresses } from "../../src/link/addresses.ts";
import { AddressConflictError, enableForwarding, ensureGateway } from "../../src/link/gateway.ts";
import type { Link } from "../../src/link/links.ts";
import { readSysctl } from "../../src/link/sysctl.ts";
import { ipJson, output } from "../support/node.ts";
import { givenSysctls, makePair, makeStage, type Stage } from "../support/stage.ts";
import { openWitness, type Witness } from "../support/witness.ts";

let stage: Stage;
let link: Link;
let witness: Witness;
beforeEach(async () => {
  stage = makeStage();
  link = makePair(stage.host, "va");
  witness = await openWitness();
});
afterEach(() => witness.close());

function add(text: string, detectDuplicates = false): void {
  addAddress(stage.host, link, { prefix: Prefix.parse(text), detectDuplicates });
}

/** The addresses of the link as we read them, without the kernel's link-local one. */
function present(family?: 4 | 6): string[] {
  return listAddresses(stage.host, link, family)
    .filter(({ scope }) => scope === 0)
    .map(({ prefix }) => String(prefix));
}

async function seen(text: string) {
  return (await witness.addresses()).find(({ prefix, index }) => prefix === text && index === link.index);
}

describe("addAddress", () => {
  it("puts an IPv4 address with its broadcast address", async () => {
    add("10.7.0.1/16");
    expect(await seen("10.7.0.1/16")).toMatchObject({ broadcast: "10.7.255.255", flags: ["permanent"] });
    expect(stage.commands()).toEqual(["ip address add 10.7.0.1/16 broadcast 10.7.255.255 dev va"]);
  });

  it.each(["10.7.0.1/32", "10.7.0.0/31"])("puts no broadcast address where there is no room for one: %s", async (text) => {
    add(text);
    expect(await seen(text)).toMatchObject({ broadcast: undefined });
    expect(stage.commands()).toEqual([`ip address add ${text} dev va`]);
  });

  it("puts an IPv6 address that can be used at once", async () => {
    add("fd00:7::1/64");
    expect(await seen("fd00:7::1/64")).toMatchObject({ flags: expect.arrayContaining(["nodad", "permanent"]) });
    expect(listAddresses(stage.host, link, 6)).toContainEqual({
      prefix: Prefix.parse("fd00:7::1/64"),
      scope: 0,
      tentative: false,
      duplicate: false,
    });
    expect(stage.commands()).toEqual(["ip address add fd00:7::1/64 dev va nodad"]);
  });

  it("puts an IPv6 address whose duplicates the kernel looks for", async () => {
    add("fd00:7::1/64", true);
    expect((await seen("fd00:7::1/64"))?.flags).not.toContain("nodad");
    expect(listAddresses(stage.host, link, 6).find(({ scope }) => scope === 0)).toMatchObject({
      tentative: true,
      duplicate: false,
    });
    expect(stage.commands()).toEqual(["ip address add fd00:7::1/64 dev va"]);
  });

  it.each(["10.7.0.1/16", "fd00:7::1/64"])("refuses one that is there: %s", (text) => {
    add(text);
    expect(() => add(text)).toThrow(/^RTM_NEWADDR: File exists \(EEXIST\)/);
    expect(present()).toEqual([text]);
  });

  it("says the kernel's words", () => {
    add("10.7.0.1/16");
    expect(() => add("10.7.0.1/16")).toThrow("RTM_NEWADDR: File exists (EEXIST): ipv4: Address already assigned");
  });
});

describe("deleteAddress", () => {
  it.each(["10.7.0.1/16", "10.7.0.1/32", "fd00:7::1/64"])("takes %s off", async (text) => {
    add(text);
    deleteAddress(stage.host, link, Prefix.parse(text));
    expect(present()).toEqual([]);
    expect(await seen(text)).toBeUndefined();
  });

  it.each(["10.7.0.9/16", "fd00:7::9/64"])("takes it that %s is not there", (text) => {
    add("10.7.0.1/16");
    add("fd00:7::1/64");
    deleteAddress(stage.host, link, Prefix.parse(text));
    expect(present().sort()).toEqual(["10.7.0.1/16", "fd00:7::1/64"]);
  });

  it("takes only the one of that length", () => {
    add("10.7.0.1/16");
    add("10.7.0.1/24");
    deleteAddress(stage.host, link, Prefix.parse("10.7.0.1/24"));
    expect(present()).toEqual(["10.7.0.1/16"]);
  });
});

describe("listAddresses", () => {
  it("has those of one link, by family", () => {
    const other = makePair(stage.host, "vb");
    addAddress(stage.host, other, { prefix: Prefix.parse("10.8.0.1/16") });
    for (const text of ["10.7.0.1/16", "10.7.1.1/24", "fd00:7::1/64"]) add(text);
    expect(present(4).sort()).toEqual(["10.7.0.1/16", "10.7.1.1/24"]);
    expect(present(6)).toEqual(["fd00:7::1/64"]);
    expect(present().sort()).toEqual(["10.7.0.1/16", "10.7.1.1/24", "fd00:7::1/64"]);
  });

  it("has the link's own end of a point-to-point address", () => {
    output("ip", "address", "add", "10.7.0.1", "peer", "10.7.0.2/32", "dev", "va");
    expect(present(4)).toEqual(["10.7.0.1/32"]);
  });

  it("has none of a link that is gone", () => {
    add("10.7.0.1/16");
    output("ip", "link", "del", "va");
    expect(() => listAddresses(stage.host, link)).toThrow("(ENODEV)");
  });
});

describe("ensureGateway", () => {
  const ensure = (text: string, force = false) => ensureGateway(stage.host, link, { address: Prefix.parse(text), force });

  it.each(["10.7.0.1/16", "fd00:7::1/64"])("puts %s once", (text) => {
    expect(ensure(text)).toBe(true);
    expect(ensure(text)).toBe(false);
    expect(present()).toEqual([text]);
  });

  it("refuses where another IPv4 address is, and leaves it", () => {
    ensure("10.7.0.1/16");
    expect(() => ensure("10.8.0.1/16")).toThrow(
      new AddressConflictError("va", { present: Prefix.parse("10.7.0.1/16"), wanted: Prefix.parse("10.8.0.1/16") }),
    );
    expect(() => ensure("10.7.0.1/24")).toThrow('"va" already has an IP address different from 10.7.0.1/24: 10.7.0.1/16');
    expect(present()).toEqual(["10.7.0.1/16"]);
  });

  it("replaces every other IPv4 address where it is told to, and nothing of IPv6", () => {
    for (const text of ["10.7.0.1/16", "10.9.0.1/16", "fd00:7::1/64"]) add(text);
    expect(ensure("10.8.0.1/16", true)).toBe(true);
    expect(present().sort()).toEqual(["10.8.0.1/16", "fd00:7::1/64"]);
  });

  it("takes IPv6 networks beside each other, as long as they do not overlap", () => {
    ensure("fd00:7::1/64");
    expect(ensure("fd00:8::1/64")).toBe(true);
    expect(() => ensure("fd00:7::2/64")).toThrow('"va" already has an IP address different from fd00:7::2/64: fd00:7::1/64');
    expect(() => ensure("fd00::1/16")).toThrow(AddressConflictError);
    expect(present(6).sort()).toEqual(["fd00:7::1/64", "fd00:8::1/64"]);
  });

  it("replaces only the IPv6 address in the way", () => {
    ensure("fd00:7::1/64");
    ensure("fd00:8::1/64");
    expect(ensure("fd00:7::2/64", true)).toBe(true);
    expect(present(6).sort()).toEqual(["fd00:7::2/64", "fd00:8::1/64"]);
  });
});

describe("enableForwarding", () => {
  it.each([
    { families: [4], expected: ["1", "0"] },
    { families: [6], expected: ["0", "1"] },
    { families: [4, 6], expected: ["1", "1"] },
    { families: [], expected: ["0", "0"] },
  ] as const)("of $families", ({ families, expected }) => {
    givenSysctls({ "net/ipv4/ip_forward": "0", "net/ipv6/conf/all/forwarding": "0" });
    enableForwarding(stage.host, new Set(families));
    expect(["net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"].map((key) => readSysctl(stage.host, key))).toEqual(expected);
  });
});

it("anywhere is the network of all addresses", () => {
  expect([4, 6].map((family) => String(anywhere(family as 4 | 6)))).toEqual(["0.0.0.0/0", "::/0"]);
});

it("ip reads the addresses as we do", () => {
  for (const text of ["10.7.0.1/16", "fd00:7::1/64"]) add(text);
  const [shown] = ipJson<{ addr_info: { local: string; prefixlen: number }[] }>("address", "show", "dev", "va");
  const theirs = shown?.addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`);
  expect(theirs?.sort()).toEqual(
    listAddresses(stage.host, link)
      .map(({ prefix }) => String(prefix))
      .sort(),
  );
});
