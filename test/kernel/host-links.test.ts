import { beforeEach, describe, expect, it } from "vitest";
import { clearLeftover, collectHostLinks, deleteHostLink, deleteVeth } from "../../src/attachment/host-links.ts";
import type { Attachment } from "../../src/cni/plugin.ts";
import { findLink, getLink, listLinks, setLink, setUp } from "../../src/link/links.ts";
import { hostLinkName, linkAlias, networkLinkPrefix } from "../../src/link/names.ts";
import type { Sandbox } from "../../src/link/namespace.ts";
import { output } from "../support/node.ts";
import { addContainer, connectVeth, makePair, makeStage, type Stage } from "../support/stage.ts";

let stage: Stage;
let sandbox: Sandbox & { readonly path: string };
beforeEach(() => {
  stage = makeStage();
  sandbox = addContainer(stage);
});

const mine: Attachment = { network: "demo", containerId: "c1", ifname: "eth0" };
const other: Attachment = { network: "demo", containerId: "c2", ifname: "eth0" };

/** An attachment as an ADD leaves it: named and described. */
function attach(attachment: Attachment, options: { into?: Sandbox; state?: "adding" | "attached"; alias?: string } = {}): void {
  const { into = sandbox, state = "attached" } = options;
  const { outer } = connectVeth(into, hostLinkName(attachment));
  describeLink(outer.name, options.alias ?? linkAlias(attachment, state));
}

function describeLink(name: string, alias: string): void {
  setLink(stage.host, getLink(stage.host, name), { command: "alias", message: { alias } });
}

function hostVeths(): string[] {
  return listLinks(stage.host, { kind: "veth" })
    .map(({ name }) => name)
    .sort();
}

describe("deleteHostLink", () => {
  it("deletes both ends, and tells whether there were any", () => {
    attach(mine);
    expect(deleteHostLink(mine, stage.steps)).toBe(true);
    expect(findLink(sandbox.container, "eth0")).toBeUndefined();
    expect(deleteHostLink(mine, stage.steps)).toBe(false);
  });
});

describe("deleteVeth", () => {
  const del = (netns: string | undefined = sandbox.path) => deleteVeth(mine, { host: stage.host, netns, steps: stage.steps });

  it.each(["with the namespace", "without"])("deletes by the name on the host, %s", (how) => {
    attach(mine);
    deleteVeth(mine, { host: stage.host, netns: how === "without" ? undefined : sandbox.path, steps: stage.steps });
    expect([hostVeths(), findLink(sandbox.container, "eth0")]).toEqual([[], undefined]);
    del();
  });

  it("deletes a pair that another implementation made, with a random name on the host", () => {
    connectVeth(sandbox, "veth1f2e3d4c");
    del();
    expect([hostVeths(), findLink(sandbox.container, "eth0")]).toEqual([[], undefined]);
  });

  it("does nothing when the namespace is gone or has no such interface", () => {
    makePair(stage.host, "va");
    deleteVeth(mine, { host: stage.host, netns: "/nonexistent", steps: stage.steps });
    deleteVeth(mine, { host: stage.host, netns: undefined, steps: stage.steps });
    del();
    expect(hostVeths()).toEqual(["va", "vap"]);
  });

  it("leaves alone the interface of another attachment: the namespace has a new tenant", () => {
    attach(other);
    del();
    expect(hostVeths()).toEqual([hostLinkName(other)]);
    expect(findLink(sandbox.container, "eth0")).toBeDefined();
  });

  it("leaves alone an interface that is no veth", () => {
    sandbox.container.inside(() => output("ip", "link", "add", "eth0", "type", "bridge"));
    del();
    expect(findLink(sandbox.container, "eth0")).toBeDefined();
  });

  it.each(["ours", "another implementation's"])("clears nf_tables when the pair is down, before it is deleted: %s", (whose) => {
    if (whose === "ours") attach(mine);
    else connectVeth(sandbox, "veth1f2e3d4c");
    const [end, name] = whose === "ours" ? [stage.host, hostLinkName(mine)] : [sandbox.container, "eth0"];
    setUp(end, getLink(end, name));
    const seen: boolean[] = [];
    deleteVeth(mine, {
      host: stage.host,
      netns: sandbox.path,
      steps: stage.steps,
      beforehand: () => seen.push(getLink(end, name).up),
    });
    expect([seen, hostVeths()]).toEqual([[false], []]);
  });

  it("clears nf_tables where there is no pair", () => {
    let cleared = 0;
    deleteVeth(mine, { host: stage.host, netns: undefined, steps: stage.steps, beforehand: () => cleared++ });
    expect(cleared).toBe(1);
  });

  it("deletes the pair, and what goes with it, though nf_tables cannot be cleared, and says so", () => {
    attach(mine);
    const along = makePair(stage.host, "va");
    const call = (): void =>
      deleteVeth(mine, {
        host: stage.host,
        netns: sandbox.path,
        steps: stage.steps,
        beforehand: () => {
          throw new Error("not today");
        },
        along: () => [along],
      });
    expect(call).toThrow('Cannot clear nf_tables of "eth0" of "c1": not today');
    expect(hostVeths()).toEqual([]);
    expect(stage.commands().filter((command) => command.startsWith("ip link del"))).toHaveLength(1);
  });

  it("leaves alone the container's other interfaces", () => {
    attach({ ...mine, ifname: "eth0" });
    sandbox.container.inside(() => output("ip", "link", "add", "eth1", "type", "bridge"));
    del();
    expect(listLinks(sandbox.container).map(({ name }) => name)).toEqual(["lo", "eth1"]);
  });
});

describe("collectHostLinks", () => {
  function gc(valid: readonly Omit<Attachment, "network">[]): void {
    collectHostLinks("demo", { valid, steps: stage.steps });
  }

  it("deletes the links of the network that no valid attachment has", () => {
    attach(mine);
    attach(other, { into: addContainer(stage) });
    attach({ ...mine, containerId: "c3" }, { into: addContainer(stage), state: "adding" });
    gc([{ containerId: "c2", ifname: "eth0" }]);
    expect(hostVeths()).toEqual([hostLinkName(other)]);
    gc([]);
    expect(hostVeths()).toEqual([]);
  });

  it("tells interfaces of one container apart", () => {
    attach(mine);
    attach({ ...mine, ifname: "eth1" }, { into: addContainer(stage) });
    gc([{ containerId: "c1", ifname: "eth1" }]);
    expect(hostVeths()).toEqual([hostLinkName({ ...mine, ifname: "eth1" })]);
  });

  it("leaves other networks and foreign links alone", () => {
    const elsewhere = { ...mine, network: "other" };
    attach(elsewhere);
    makePair(stage.host, "va");
    connectVeth(addContainer(stage), `${networkLinkPrefix("demo")}99`); // too short to be one of ours
    output("ip", "link", "add", hostLinkName({ ...mine, containerId: "bridge" }), "type", "bridge");
    const before = listLinks(stage.host).map(({ name }) => name);
    gc([]);
    expect(listLinks(stage.host).map(({ name }) => name)).toEqual(before);
  });

  it("deletes a link that its ADD had no time to describe", () => {
    connectVeth(sandbox, hostLinkName(mine));
    gc([]);
    expect(hostVeths()).toEqual([]);
  });

  it.each(["adding", "attached"] as const)(
    "leaves the links of a network whose name has the same hash (%s): the alias tells",
    (state) => {
      for (const network of ["demo2", "dem", "demo.x"]) {
        attach({ ...mine, containerId: network }, { into: addContainer(stage), alias: linkAlias({ ...mine, network }, state) });
      }
      const before = hostVeths();
      gc([]);
      expect(hostVeths()).toEqual(before);
    },
  );

  it("knows its own links by an alias that was cut off", () => {
    const long = { ...mine, network: "n".repeat(250) };
    for (const state of ["adding", "attached"] as const) {
      attach(long, { into: addContainer(stage), state });
      collectHostLinks(long.network, { valid: [], steps: stage.steps });
      expect(hostVeths()).toEqual([]);
    }
  });
});

describe("clearLeftover", () => {
  const clear = () => clearLeftover(sandbox, mine);

  it("finds nothing to do in an empty container", () => {
    makePair(stage.host, "va");
    expect(clear()).toBe(false);
    expect(hostVeths()).toEqual(["va", "vap"]);
  });

  it.each([
    { what: "a pair whose ADD never got to describe it", alias: "" },
    { what: "a pair whose ADD died before its end", alias: linkAlias(mine, "adding") },
  ])("removes $what", ({ alias }) => {
    const { outer } = connectVeth(sandbox, hostLinkName(mine));
    if (alias !== "") describeLink(outer.name, alias);
    expect(clear()).toBe(true);
    expect([hostVeths(), findLink(sandbox.container, "eth0")]).toEqual([[], undefined]);
  });

  it("refuses where the attachment is whole in another namespace", () => {
    attach(mine, { into: addContainer(stage) });
    expect(clear).toThrow('"eth0" is attached, in another namespace, to network "demo" by an earlier ADD: DEL it first');
    expect(hostVeths()).toEqual([hostLinkName(mine)]);
  });

  it("refuses where the attachment is there and whole", () => {
    attach(mine);
    expect(clear).toThrow('"eth0" already exists in the container, attached to network "demo" by an earlier ADD: DEL it first');
    expect(hostVeths()).toEqual([hostLinkName(mine)]);
  });

  it.each([
    { what: "another attachment's interface", prepare: () => attach(other) },
    { what: "another implementation's interface", prepare: () => void connectVeth(sandbox, "veth1f2e3d4c") },
  ])("refuses where $what is", ({ prepare }) => {
    prepare();
    const before = hostVeths();
    expect(clear).toThrow(new Error('"eth0" already exists in the container'));
    expect(hostVeths()).toEqual(before);
    expect(findLink(sandbox.container, "eth0")).toBeDefined();
  });
});
