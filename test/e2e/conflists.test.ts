import { join } from "node:path";
import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { root } from "../../scripts/lib/paths.ts";
import { conflists, readConflist, siteOf, typesIn } from "../support/examples.ts";
import { bin, type Outcome, requireBuilt, run } from "../support/executable.ts";
import { type KernelFeature, needs, supports } from "../support/kernel-features.ts";
import { freshNode, hideMachineState, leases, makeSandbox, nodeSnapshot, output, Sandbox } from "../support/node.ts";

// Every network of conf/ as a person would try it: attach two containers, send packets, look, detach.

beforeAll(() => {
  requireBuilt();
  hideMachineState();
});
beforeEach(freshNode);

const env = { NETCONFPATH: join(root, "conf"), CNI_PATH: bin };

interface Shown {
  readonly interfaces?: readonly { readonly name: string; readonly sandbox?: string }[];
  readonly ips?: readonly { readonly address: string; readonly gateway?: string; readonly interface?: number }[];
}

function podlink(command: string, network: string, sandbox: Sandbox): Outcome {
  const outcome = run("podlink", [command, network, sandbox.path], { env });
  expect(outcome, `podlink ${command} ${network}`).toMatchObject({ status: 0, stderr: "" });
  return outcome;
}

const add = (network: string, sandbox: Sandbox): Shown => JSON.parse(podlink("add", network, sandbox).stdout);
const addresses = ({ ips = [] }: Shown): string[] => ips.map(({ address }) => address.split("/")[0] ?? "");

/** Its own addresses answer a container on lo; else the gateways do, which the node has where the network does not give them to it. */
function expectReachable(
  { interfaces = [], ips = [] }: Shown,
  sandbox: Sandbox,
  { outside = interfaces[0]?.name ?? "", device }: { outside?: string | undefined; device: string | undefined },
): void {
  for (const { address, gateway, interface: index = -1 } of ips) {
    const [own = "", length] = address.split("/");
    if (interfaces[index]?.name === "lo") expect(sandbox.ping(own)).toBe(true);
    if (gateway === undefined) continue;
    const missing = !output("ip", "-oneline", "address", "show").includes(` ${gateway}/`);
    const change = (verb: string) => output("ip", "address", verb, `${gateway}/${length}`, "dev", outside);
    if (missing) change("add");
    expect(sandbox.ping(gateway, { device })).toBe(true);
    if (missing) change("del");
    output("ip", "neighbour", "flush", "all"); // the node's memory of who has sent it packets
  }
}

it("there is at least one", () => expect(conflists().length).toBeGreaterThan(4));

describe.each(conflists())("%s", (file) => {
  const { name, plugins } = readConflist(file);
  const inVlans = plugins.some((plugin) => "vlan" in plugin || "vlanTrunk" in plugin);
  const site = siteOf(typesIn(plugins));
  const features: KernelFeature[] = [...site.needs, ...(inVlans ? (["bridge-vlans"] as const) : [])];
  const [lacks, title] = [!supports(...features), needs(...features)];

  it.skipIf(lacks)(`attaches a container, which CHECK and STATUS agree to, and detaches it without a trace${title}`, () => {
    const outside = site.arrange();
    using warm = new Sandbox();
    add(name, warm);
    podlink("del", name, warm);
    const before = nodeSnapshot();

    const sandbox = makeSandbox();
    const empty = sandbox.snapshot();
    const result = add(name, sandbox);
    expect(result.interfaces?.some((link) => link.sandbox === sandbox.path)).toBe(true);
    podlink("check", name, sandbox);
    podlink("status", name, sandbox);
    if (!inVlans) expectReachable(result, sandbox, { outside, device: site.device }); // the node has no foot in there
    podlink("del", name, sandbox);
    expect(nodeSnapshot()).toEqual(before);
    expect(sandbox.snapshot()).toEqual(empty);
    expect(leases()).toEqual([]);
    podlink("del", name, sandbox);
  });

  if (!plugins.some(({ ipam }) => ipam?.type === "host-local")) return; // the others have one address to give, or none
  it.skipIf(lacks)(`joins containers with each other and the node${title}`, () => {
    site.arrange();
    const [one, two] = [makeSandbox(), makeSandbox()];
    const results = [add(name, one), add(name, two)];
    const [left = [], right = []] = results.map(addresses);
    const isolated = plugins.some(({ ingressPolicy }) => ingressPolicy === "isolated");
    const reaches = (from: Sandbox, address: string) =>
      from.ping(address, { device: site.device, ...(isolated ? { timeoutMs: 300 } : {}) });
    for (const address of left) expect(reaches(two, address)).toBe(!isolated);
    for (const address of right) expect(reaches(one, address)).toBe(!isolated);
    for (const { gateway } of results[0]?.ips ?? []) {
      if (gateway !== undefined && plugins.some((plugin) => plugin.isGateway === true || plugin.isDefaultGateway === true)) {
        expect(one.ping(gateway, { device: site.device })).toBe(true);
      }
    }
    for (const sandbox of [one, two]) podlink("del", name, sandbox);
    expect(leases()).toEqual([]);
  });
});
