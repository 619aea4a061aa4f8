import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { requireBuilt } from "../support/executable.ts";
import { freshNode, leases, output } from "../support/node.ts";
import { makeOutside, type Outside } from "../support/outside.ts";
import { Contained } from "../support/runtimes/contained.ts";
import { runtimeNeeds, versionOf } from "../support/runtimes/needs.ts";
import {
  expectNothingLeft,
  fetchFrom,
  install,
  pinging,
  remains,
  serving,
  V4_GATEWAY,
  V6_GATEWAY,
} from "../support/runtimes/node-at-hand.ts";
import { Podman } from "../support/runtimes/podman.ts";

// podman, whose networks were CNI's until its fifth version.

const runtime = "podman of bookworm";
const missing = runtimeNeeds(runtime, { programs: ["podman", "conmon", "runc"] });
const version = missing === "" ? versionOf(runtime, "podman") : "";

describe.skipIf(missing !== "")(`${runtime} ${version}${missing}`, () => {
  let node: Contained;
  let outside: Outside;
  let podman: Podman;
  let before: unknown;

  beforeAll(async () => {
    requireBuilt();
    node = await Contained.create(runtime);
    freshNode();
    install();
    podman = new Podman(node, { network: "podlink" });
    // The network's own things come with its first container, and stay
    podman.start({ name: "first", ports: ["8080:80"] });
    remove("first");
  });
  beforeEach(() => {
    outside = makeOutside();
    before = remains(node);
    expect(leases()).toEqual([]);
  });
  afterEach(() => void output("ip", "link", "del", "uplink"));
  afterAll(() => node[Symbol.asyncDispose]());

  const remove = (...names: readonly string[]) => podman.call("rm", "--force", "--time=0", ...names);

  it("takes the network for one of its own", () => {
    expect(podman.call("info", "--format", "{{.Host.NetworkBackend}}").trim()).toBe("cni");
    expect(podman.call("network", "ls", "--format", "{{.Name}}")).toContain("podlink");
  });

  it("two containers reach each other, the node, themselves and what is outside", () => {
    podman.start({ name: "one" });
    podman.start({ name: "two" });
    const addresses = podman.addresses("two");
    expect(addresses).toHaveLength(2);
    for (const address of [...addresses, V4_GATEWAY, V6_GATEWAY, "127.0.0.1", "::1", outside.v4, outside.v6])
      expect(podman.execute("one", ...pinging(address))).toContain("1 packets received");
    for (const address of podman.addresses("one")) podman.execute("two", ...pinging(address));
    remove("one", "two");
    expectNothingLeft(node, before);
  });

  it("published ports lead to a container, also after a restart, until it is removed", () => {
    const { v4, v6 } = outside.node;
    podman.start({ name: "web", ports: ["8081:80", `${v4}:8082:80`] });
    const answers = () => {
      podman.execute("web", ...serving("web"));
      return [`${v4}:8081`, `${v4}:8082`, `[${v6}]:8081`].map((place) => fetchFrom(outside, `http://${place}/`));
    };
    expect(answers()).toEqual(["web", "web", "web"]);
    podman.call("restart", "--time=0", "web");
    expect(answers()).toEqual(["web", "web", "web"]);
    podman.call("stop", "--time=0", "web");
    expect(leases()).toEqual([]);
    podman.call("start", "web");
    expect(answers()).toEqual(["web", "web", "web"]);
    remove("web");
    expect(fetchFrom(outside, `http://${v4}:8081/`)).toBeUndefined();
    expectNothingLeft(node, before);
  });

  it("a container has the address and the MAC address it is started with", () => {
    podman.start({ name: "fixed", options: ["--ip=10.93.0.77", "--mac-address=c2:11:22:33:44:55"] });
    expect(podman.addresses("fixed")[0]).toBe("10.93.0.77");
    expect(podman.execute("fixed", "ip", "link", "show", "eth0")).toContain("c2:11:22:33:44:55");
    podman.execute("fixed", ...pinging(V4_GATEWAY));
    remove("fixed");
    expectNothingLeft(node, before);
  });

  it("network reload attaches a container again when a firewall took all rules away", () => {
    const address = `http://${outside.node.v4}:8081/`;
    podman.start({ name: "web", ports: ["8081:80"] });
    podman.execute("web", ...serving("web"));
    output("nft", "flush", "ruleset");
    podman.call("network", "reload", "web");
    expect(fetchFrom(outside, address)).toBe("web");
    remove("web");
    expectNothingLeft(node, before);
  });

  // podman calls no plugin for a container whose namespace is gone
  it("what a crash left is no hindrance, and podlink gc takes it away", () => {
    podman.start({ name: "crashed", ports: ["8081:80"] });
    node.crash();
    remove("crashed");
    expect(leases()).toHaveLength(2);
    podman.start({ name: "next", ports: ["8081:80"] });
    podman.execute("next", ...serving("next"));
    const reached = () => expect(fetchFrom(outside, `http://${outside.node.v4}:8081/`)).toBe("next");
    reached();
    node.output("/opt/cni/bin/podlink", "gc", "podlink");
    expect(leases()).toHaveLength(2);
    reached();
    remove("next");
    expectNothingLeft(node, before);
  });

  it("a container that ends by itself leaves nothing", () => {
    expect(podman.runOnce(...pinging(outside.v4))).toMatchObject({ status: 0, stderr: "" });
    expect(podman.runOnce("sh", "-c", "exit 3")).toMatchObject({ status: 3 });
    expectNothingLeft(node, before);
  });
});
