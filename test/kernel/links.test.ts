import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { announce } from "../../src/link/announce.ts";
import { createLink, deleteLink, findLink, getLink, listLinks, setLink, setUp } from "../../src/link/links.ts";
import { linkAlias } from "../../src/link/names.ts";
import { createVeth } from "../../src/link/veth.ts";
import { IFF } from "../../src/netlink/route/link.ts";
import { ipJson, output } from "../support/node.ts";
import { addContainer, connectVeth, makePair, makeStage, type Stage } from "../support/stage.ts";
import { openWitness, type Witness } from "../support/witness.ts";

let stage: Stage;
let witness: Witness;
beforeEach(async () => {
  stage = makeStage();
  witness = await openWitness();
});
afterEach(() => witness.close());

describe("findLink, getLink", () => {
  it("find by name and by index", () => {
    const lo = getLink(stage.host, "lo");
    expect(lo).toMatchObject({ name: "lo", index: 1, kind: undefined, mtu: 65_536, up: false, mac: "00:00:00:00:00:00" });
    expect(getLink(stage.host, 1)).toEqual(lo);
  });

  it("tell that there is none", () => {
    expect(findLink(stage.host, "nosuch0")).toBeUndefined();
    expect(findLink(stage.host, 4711)).toBeUndefined();
    expect(() => getLink(stage.host, "nosuch0")).toThrow('Link "nosuch0" not found');
    expect(() => getLink(stage.host, 4711)).toThrow("Link with index 4711 not found");
  });

  it("find none of a name that no link can have, of which the kernel would read but a part", () => {
    expect(findLink(stage.host, "sixteen-letters-")).toBeUndefined();
  });

  it("read what others made, in every field", () => {
    output("ip", "link", "add", "br7", "mtu", "1400", "address", "c2:11:22:33:44:55", "type", "bridge");
    output("ip", "link", "set", "br7", "alias", "somebody's", "promisc", "on");
    expect(getLink(stage.host, "br7")).toMatchObject({
      kind: "bridge",
      mac: "c2:11:22:33:44:55",
      mtu: 1400,
      up: false,
      promiscuous: true,
      alias: "somebody's",
      master: undefined,
      peer: undefined,
      vlanFiltering: false,
    });
  });
});

describe("createLink, setLink, deleteLink", () => {
  it("make a bridge that another reader sees as asked for", async () => {
    createLink(stage.host, "ip link add br7 type bridge", {
      name: "br7",
      mtu: 1300,
      address: "c2:00:00:00:00:07",
      linkInfo: { kind: "bridge" },
    });
    const bridge = getLink(stage.host, "br7");
    setUp(stage.host, bridge);
    setLink(stage.host, bridge, { command: 'alias "mine"', message: { alias: "mine" } });
    expect(await witness.links()).toContainEqual({
      name: "br7",
      index: bridge.index,
      mac: "c2:00:00:00:00:07",
      mtu: 1300,
      up: true,
      master: undefined,
      alias: "mine",
      queues: [1, 1],
    });
    expect(stage.commands()).toEqual(["ip link add br7 type bridge", "ip link set br7 up", 'ip link set br7 alias "mine"']);
  });

  it("refuse a name that is taken, and record the refusal", () => {
    makePair(stage.host, "va");
    expect(() => createLink(stage.host, "ip link add va type bridge", { name: "va", linkInfo: { kind: "bridge" } })).toThrow(
      "RTM_NEWLINK: File exists (EEXIST)",
    );
    expect(stage.steps.list.at(-1)).toMatchObject({
      command: "ip link add va type bridge",
      error: expect.stringContaining("EEXIST"),
    });
    expect(getLink(stage.host, "va").kind).toBe("veth");
  });

  it("change nothing but what was asked for", () => {
    const link = makePair(stage.host, "va");
    setLink(stage.host, link, { command: "promisc on", message: { flags: IFF.PROMISC, change: IFF.PROMISC } });
    expect(getLink(stage.host, "va")).toMatchObject({ up: true, promiscuous: true, mac: link.mac, mtu: link.mtu });
  });

  it("say the kernel's words about a value that cannot be", () => {
    const link = makePair(stage.host, "va");
    expect(() => setLink(stage.host, link, { command: "mtu 10", message: { mtu: 10 } })).toThrow(
      "RTM_NEWLINK: Invalid argument (EINVAL): mtu less than device minimum",
    );
  });

  it("delete by name and tell whether there was one", () => {
    makePair(stage.host, "va");
    expect(deleteLink(stage.host, "va")).toBe(true);
    expect(deleteLink(stage.host, "va")).toBe(false);
    expect(findLink(stage.host, "vap")).toBeUndefined();
  });

  it("take the longest alias there is", () => {
    const link = makePair(stage.host, "va");
    for (const state of ["adding", "attached"] as const) {
      const alias = linkAlias({ network: "n".repeat(200), containerId: "c".repeat(200), ifname: "eth0" }, state);
      setLink(stage.host, link, { command: "alias …", message: { alias } });
      expect(getLink(stage.host, "va").alias).toBe(alias);
    }
    const wide = linkAlias({ network: "n".repeat(226), containerId: "c", ifname: "ééééé" }, "attached");
    setLink(stage.host, link, { command: "alias …", message: { alias: wide } });
    expect(getLink(stage.host, "va").alias).toBe(wide);
  });
});

describe("listLinks", () => {
  beforeEach(() => {
    output("ip", "link", "add", "br7", "type", "bridge");
    makePair(stage.host, "va");
    makePair(stage.host, "vb");
    output("ip", "link", "set", "va", "master", "br7");
  });

  function names(filter?: Parameters<typeof listLinks>[1]): string[] {
    return listLinks(stage.host, filter)
      .map(({ name }) => name)
      .sort();
  }

  it("has all, those of a kind, or the ports of a master", async () => {
    expect(names()).toEqual(["br7", "lo", "va", "vap", "vb", "vbp"]);
    expect(names()).toEqual((await witness.links()).map(({ name }) => name).sort());
    expect(names({ kind: "veth" })).toEqual(["va", "vap", "vb", "vbp"]);
    expect(names({ kind: "bridge" })).toEqual(["br7"]);
    expect(names({ master: getLink(stage.host, "br7").index })).toEqual(["va"]);
    expect(names({ kind: "veth", master: getLink(stage.host, "br7").index })).toEqual(["va"]);
  });

  it("has none of a kind that the kernel does not know", () => {
    expect(names({ kind: "nosuchkind" })).toEqual([]);
  });

  it("has every one of many, over several datagrams", () => {
    for (let i = 0; i < 60; i++) createLink(stage.host, "ip link add …", { name: `many${i}`, linkInfo: { kind: "bridge" } });
    expect(names({ kind: "bridge" })).toHaveLength(61);
  });
});

describe("createVeth", () => {
  it("makes both ends as asked for, each in its place", async () => {
    const sandbox = addContainer(stage);
    output("ip", "link", "add", "br7", "type", "bridge");
    const master = getLink(stage.host, "br7");
    createVeth(sandbox, {
      host: { name: "plhost", mac: "c2:aa:00:00:00:01", master },
      container: { name: "eth0", mac: "c2:aa:00:00:00:02" },
      mtu: 1400,
    });
    const outer = getLink(stage.host, "plhost");
    const inner = getLink(sandbox.container, "eth0");
    expect([outer.peer, inner.peer]).toEqual([inner.index, outer.index]);
    expect([outer.kind, inner.kind, outer.up, inner.up]).toEqual(["veth", "veth", false, false]);
    const common = { mtu: 1400, up: false, alias: undefined, queues: [1, 1] };
    expect(await witness.links()).toContainEqual({
      ...common,
      name: "plhost",
      index: outer.index,
      mac: "c2:aa:00:00:00:01",
      master: master.index,
    });
    const within = await openWitness(sandbox.path);
    try {
      expect(await within.links()).toContainEqual({
        ...common,
        name: "eth0",
        index: inner.index,
        mac: "c2:aa:00:00:00:02",
        master: undefined,
      });
    } finally {
      within.close();
    }
    expect(stage.commands()).toEqual([
      "ip link add plhost address c2:aa:00:00:00:01 mtu 1400 numtxqueues 1 numrxqueues 1 master br7 " +
        "type veth peer name eth0 address c2:aa:00:00:00:02 mtu 1400 numtxqueues 1 numrxqueues 1 " +
        `netns ${sandbox.path}`,
    ]);
  });

  it("leaves the MTU to the kernel when it is 0", () => {
    const { outer, inner } = connectVeth(addContainer(stage), "plhost");
    expect([outer.mtu, inner.mtu]).toEqual([1500, 1500]);
  });

  it.each([
    { taken: "the host's name", host: "plhost", container: "eth9" },
    { taken: "the container's name", host: "plother", container: "eth0" },
  ])("refuses when $taken is taken, and leaves nothing", ({ host, container }) => {
    const sandbox = addContainer(stage);
    connectVeth(sandbox, "plhost");
    const pair = {
      host: { name: host, mac: "c2:aa:00:00:00:03" },
      container: { name: container, mac: "c2:aa:00:00:00:04" },
      mtu: 0,
    };
    expect(() => createVeth(sandbox, pair)).toThrow("(EEXIST)");
    expect(listLinks(stage.host, { kind: "veth" }).map(({ name }) => name)).toEqual(["plhost"]);
    expect(listLinks(sandbox.container, { kind: "veth" }).map(({ name }) => name)).toEqual(["eth0"]);
  });

  it("goes with either end", () => {
    const sandbox = addContainer(stage);
    connectVeth(sandbox, "plhost");
    expect(deleteLink(sandbox.container, "eth0")).toBe(true);
    expect(findLink(stage.host, "plhost")).toBeUndefined();
  });
});

it("announce leaves the link as it is", () => {
  const link = makePair(stage.host, "va");
  const before = ipJson("link", "show", "dev", "va").map(({ address, flags, mtu }) => ({ address, flags, mtu }));
  announce(stage.host, link);
  expect(ipJson("link", "show", "dev", "va").map(({ address, flags, mtu }) => ({ address, flags, mtu }))).toEqual(before);
});
