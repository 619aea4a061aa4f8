import { beforeAll, beforeEach, describe, expect, it } from "vitest";
import { bin, type Outcome, requireBuilt, start } from "../support/executable.ts";
import { freshNode, hideMachineState, ipJson, leases, nodeSnapshot, Sandbox } from "../support/node.ts";

// Many processes at a time on one network, as a node has them when it starts or drains.

beforeAll(() => {
  requireBuilt();
  hideMachineState();
});
beforeEach(freshNode);

const AT_A_TIME = 20;

const config = {
  cniVersion: "1.1.0",
  name: "busy",
  type: "bridge",
  bridge: "busy0",
  isDefaultGateway: true,
  ipam: { type: "host-local", ranges: [[{ subnet: "10.95.0.0/22" }], [{ subnet: "fd00:95::/64" }]] },
};

interface Pod {
  readonly id: string;
  readonly sandbox: Sandbox;
}

function call(command: string, { id, sandbox }: Pod): Promise<Outcome> {
  const env = { CNI_COMMAND: command, CNI_CONTAINERID: id, CNI_NETNS: sandbox.path, CNI_IFNAME: "eth0", CNI_PATH: bin };
  return start("bridge", { env, input: JSON.stringify(config) });
}

/** Runs work for each item, so many at a time. */
async function each<T, R>(items: readonly T[], work: (item: T, index: number) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const queue = items.entries();
  const worker = async (): Promise<void> => {
    for (const [index, item] of queue) results[index] = await work(item, index);
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
  return results;
}

function makePods(count: number): Pod[] {
  return Array.from({ length: count }, (_, index) => ({ id: `pod-${index}`, sandbox: new Sandbox() }));
}

function addressesOf(outcomes: readonly Outcome[]): string[] {
  for (const outcome of outcomes) expect(outcome).toMatchObject({ status: 0, stderr: "" });
  return outcomes.flatMap(({ stdout }) => JSON.parse(stdout).ips.map((ip: { address: string }) => ip.address.split("/")[0]));
}

async function warmUp(): Promise<unknown> {
  using sandbox = new Sandbox();
  for (const command of ["ADD", "DEL"]) expect(await call(command, { id: "warm", sandbox })).toMatchObject({ status: 0 });
  return nodeSnapshot();
}

describe(`${AT_A_TIME} processes at a time`, () => {
  it("200 ADDs and DELs all succeed, give no address twice, and leave nothing", async () => {
    const clean = await warmUp();
    const pods = makePods(200);
    const addresses = addressesOf(await each(pods, (pod) => call("ADD", pod)));
    expect(new Set(addresses).size).toBe(400);
    expect(
      leases()
        .map((name) => name.replace("busy/", ""))
        .sort(),
    ).toEqual(addresses.toSorted());
    expect(ipJson("link", "show", "master", "busy0")).toHaveLength(200);
    const [first, last] = [pods[0], pods.at(-1)];
    expect(first?.sandbox.ping(addresses.at(-2) ?? "")).toBe(true);
    expect(last?.sandbox.ping("fd00:95::1")).toBe(true);
    for (const outcome of await each(pods, (pod) => call("DEL", pod)))
      expect(outcome).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(leases()).toEqual([]);
    for (const { sandbox } of pods) sandbox[Symbol.dispose]();
    expect(withoutNeighbours(nodeSnapshot())).toEqual(clean);
  });

  it("the first ADDs of a network all find or make its bridge", async () => {
    const pods = makePods(AT_A_TIME);
    expect(new Set(addressesOf(await each(pods, (pod) => call("ADD", pod)))).size).toBe(2 * AT_A_TIME);
    expect(ipJson("link", "show", "type", "bridge")).toHaveLength(1);
    for (const { sandbox } of pods) sandbox[Symbol.dispose]();
  });

  it("ADD, CHECK, DEL and GC of different containers do not disturb each other", async () => {
    const clean = await warmUp();
    const [pods, staying] = [makePods(40), makePods(2).map((pod) => ({ ...pod, id: `stays-${pod.id}` }))];
    addressesOf(await each(staying, (pod) => call("ADD", pod)));
    const valid = [...pods, ...staying].map(({ id }) => ({ containerID: id, ifname: "eth0" }));
    const gc = {
      input: JSON.stringify({ ...config, "cni.dev/valid-attachments": valid }),
      env: { CNI_COMMAND: "GC", CNI_PATH: bin },
    };
    await each(pods, async (pod, index) => {
      const added = await call("ADD", pod);
      addressesOf([added]);
      const env = {
        CNI_COMMAND: "CHECK",
        CNI_CONTAINERID: pod.id,
        CNI_NETNS: pod.sandbox.path,
        CNI_IFNAME: "eth0",
        CNI_PATH: bin,
      };
      const input = JSON.stringify({ ...config, prevResult: JSON.parse(added.stdout) });
      expect(await start("bridge", { env, input })).toEqual({ status: 0, stdout: "", stderr: "" });
      if (index % 8 === 0) expect(await start("bridge", gc)).toEqual({ status: 0, stdout: "", stderr: "" });
      expect(await call("DEL", pod)).toEqual({ status: 0, stdout: "", stderr: "" });
    });
    expect(leases()).toHaveLength(4);
    for (const pod of staying) {
      expect(pod.sandbox.ping("10.95.0.1")).toBe(true);
      expect(await call("DEL", pod)).toMatchObject({ status: 0 });
    }
    for (const { sandbox } of [...pods, ...staying]) sandbox[Symbol.dispose]();
    expect(withoutNeighbours(nodeSnapshot())).toEqual(clean);
  });

  it("the same ADD several times at once, which no runtime does: at most one succeeds, and DEL clears all there is", async () => {
    const [pod] = makePods(1);
    if (pod === undefined) throw new Error("no pod");
    await warmUp();
    const outcomes = await Promise.all([1, 2, 3, 4].map(() => call("ADD", pod)));
    expect(outcomes.filter(({ status }) => status === 0).length).toBeLessThanOrEqual(1);
    expect(await call("DEL", pod)).toMatchObject({ status: 0 });
    expect(leases()).toEqual([]);
    expect(pod.sandbox.ipJson("link", "show")).toHaveLength(1);
    pod.sandbox[Symbol.dispose]();
  });
});

/** The node remembers for a while who has sent it packets. */
function withoutNeighbours(snapshot: unknown): unknown {
  const { network, ...rest } = snapshot as { network: string[] };
  return { network: network.filter((line) => !line.includes('"lladdr"')), ...rest };
}
