import { beforeEach, describe, expect, it } from "vitest";
import { findLink, getLink, type Link, listLinks } from "../../src/link/links.ts";
import { deleteLinks, takeDown } from "../../src/link/removal.ts";
import { output } from "../support/node.ts";
import { addContainer, connectVeth, makePair, makeStage, type Stage } from "../support/stage.ts";

let stage: Stage;
beforeEach(() => {
  stage = makeStage();
});

function names(): string[] {
  return listLinks(stage.host).map(({ name }) => name);
}

describe("deleteLinks", () => {
  it("deletes twenty pairs in one request, the containers' ends too, and nothing else", () => {
    const containers = Array.from({ length: 20 }, () => addContainer(stage));
    makePair(stage.host, "other");
    const before = listLinks(stage.host);
    const pairs = containers.map((container, at) => connectVeth(container, `v${at}`).outer);
    const done = stage.commands().length;
    deleteLinks(stage.host, pairs);
    expect(listLinks(stage.host)).toEqual(before);
    expect(containers.map(({ container }) => findLink(container, "eth0"))).toEqual(containers.map(() => undefined));
    const group = 0x40000000 + (pairs[0]?.index ?? 0);
    expect(stage.commands().slice(done)).toEqual([
      ...pairs.map(({ name }) => `ip link set ${name} group ${group}`),
      `ip link del group ${group}`,
    ]);
  });

  it("deletes a single link by its name", () => {
    deleteLinks(stage.host, [makePair(stage.host, "va")]);
    expect([names(), stage.commands()]).toEqual([["lo"], ["ip link del va"]]);
  });

  it("does nothing where there is nothing to delete", () => {
    deleteLinks(stage.host, []);
    expect(stage.commands()).toEqual([]);
  });

  it.each([0, 1, 2, 3])("does not mind that %s of three are gone already", (gone) => {
    const pairs = ["va", "vb", "vc"].map((name) => makePair(stage.host, name));
    for (const { name } of pairs.slice(0, gone)) output("ip", "link", "del", name);
    deleteLinks(stage.host, pairs);
    expect(names()).toEqual(["lo"]);
  });

  it("leaves alone a link that has got the name of one that is gone", () => {
    const pairs = ["va", "vb"].map((name) => makePair(stage.host, name));
    output("ip", "link", "del", "va");
    makePair(stage.host, "va");
    deleteLinks(stage.host, pairs);
    expect(names().sort()).toEqual(["lo", "va", "vap"]);
  });

  it("deletes one by one what the kernel does not delete together, and names what stays", () => {
    const doomed = [makePair(stage.host, "va"), getLink(stage.host, "lo"), makePair(stage.host, "vb")];
    expect(() => deleteLinks(stage.host, doomed)).toThrow(/^Cannot delete link "lo": RTM_DELLINK: [^;]*$/);
    expect(names()).toEqual(["lo"]);
  });
});

describe("takeDown", () => {
  it("sets a link down, and does not mind that it is gone", () => {
    const link: Link = makePair(stage.host, "va");
    takeDown(stage.host, link);
    expect(getLink(stage.host, "va").up).toBe(false);
    output("ip", "link", "del", "va");
    takeDown(stage.host, link);
    expect(names()).toEqual(["lo"]);
  });
});
