import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Address } from "../../src/ip/address.ts";
import type { Link } from "../../src/link/links.ts";
import { forgetNeighbour, listNeighbours } from "../../src/link/neighbours.ts";
import { NUD } from "../../src/netlink/route/neighbour.ts";
import { output } from "../support/node.ts";
import { makePair, makeStage, type Stage } from "../support/stage.ts";
import { openWitness, type Witness } from "../support/witness.ts";

let stage: Stage;
let link: Link;
let witness: Witness;
beforeEach(async () => {
  stage = makeStage();
  link = makePair(stage.host, "va");
  makePair(stage.host, "vb");
  witness = await openWitness();
});
afterEach(() => witness.close());

function learn(address: string, mac: string, dev = "va"): void {
  output("ip", "neighbour", "add", address, "lladdr", mac, "dev", dev, "nud", "stale");
}

describe.each([
  { family: 4, known: "10.7.0.9", other: "10.7.0.8" },
  { family: 6, known: "fd00:7::9", other: "fd00:7::8" },
] as const)("IPv$family neighbours", ({ family, known, other }) => {
  const has = (address: string) =>
    listNeighbours(stage.host, link, family).find((each) => each.address.equals(Address.parse(address)));

  it("are listed with MAC and state, those of one link", async () => {
    learn(known, "c2:00:00:00:00:09");
    learn(other, "c2:00:00:00:00:08", "vb");
    expect(has(known)).toEqual({ address: Address.parse(known), mac: "c2:00:00:00:00:09", state: NUD.STALE });
    expect(has(other)).toBeUndefined();
    expect(await witness.neighbours()).toContainEqual({ index: link.index, address: known, mac: "c2:00:00:00:00:09" });
  });

  it("are forgotten one by one", async () => {
    learn(known, "c2:00:00:00:00:09");
    learn(other, "c2:00:00:00:00:08");
    forgetNeighbour(stage.host, link, Address.parse(known));
    expect(has(known)?.mac).toBeUndefined();
    expect(has(other)?.mac).toBe("c2:00:00:00:00:08");
    expect((await witness.neighbours()).filter(({ mac }) => mac === "c2:00:00:00:00:09")).toEqual([]);
    expect(stage.commands()).toEqual([`ip neighbour flush ${known} dev va nud all`]);
  });

  it("need not be known to be forgotten", () => {
    forgetNeighbour(stage.host, link, Address.parse(known));
    expect(stage.steps.list).toMatchObject([{ command: `ip neighbour flush ${known} dev va nud all` }]);
    expect(stage.steps.list[0]).not.toHaveProperty("error");
  });
});
