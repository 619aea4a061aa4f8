import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { requireBuilt } from "../support/executable.ts";
import { becomeHost } from "../support/namespaces.ts";
import { files, freshNode, leases, nodeSnapshot, output } from "../support/node.ts";
import { makeOutside, type Outside } from "../support/outside.ts";
import { Contained } from "../support/runtimes/contained.ts";
import { Containerd, IMAGE } from "../support/runtimes/containerd.ts";
import type { Pod, PodWish } from "../support/runtimes/cri.ts";
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
  writeNetwork,
} from "../support/runtimes/node-at-hand.ts";
import type { Runtime } from "../support/runtimes/packages.ts";

/** What a kubelet asks of containerd, and what a person does by ctr, with podlink as the network. */
export function testContainerd(runtime: Runtime & `containerd of ${string}`): void {
  const missing = runtimeNeeds(runtime, { programs: ["containerd", "runc"] });
  const version = missing === "" ? versionOf(runtime, "containerd") : "";

  describe.skipIf(missing !== "")(`${runtime} ${version}${missing}`, () => {
    let node: Contained;
    let outside: Outside;
    let containerd: Containerd;
    let before: unknown;

    beforeAll(async () => {
      requireBuilt();
      node = await Contained.create(runtime);
      freshNode();
      install();
      containerd = new Containerd(node, { major: Number.parseInt(version, 10) });
      await containerd.start();
      containerd.importImages();
      // The network's own things come with its first pod, and stay
      await take(await add({ name: "first", ports: [{ hostPort: 8080, containerPort: 80 }] }));
    });
    beforeEach(() => {
      outside = makeOutside();
      before = remains(node);
      expect(leases()).toEqual([]);
    });
    afterEach(() => void spawnSync("ip", ["link", "del", "uplink"])); // of the node that the last test started again, there is none
    afterAll(() => node[Symbol.asyncDispose]());

    const add = (wish: Omit<PodWish, "cgroup">): Promise<Pod> =>
      containerd.cri.run({ ...wish, cgroup: node.cgroup }, { image: IMAGE, command: ["/bin/sleep", "2147483647"] });

    /** As a kubelet does, which asks to stop more than once. */
    async function take({ id }: { readonly id: string }): Promise<void> {
      await containerd.cri.stop(id);
      await containerd.cri.stop(id);
      await containerd.cri.remove(id);
    }

    async function succeed(pod: Pod, command: readonly string[]): Promise<string> {
      const { exitCode, stdout, stderr } = await containerd.cri.execute(pod, ...command);
      expect({ exitCode, stderr }, command.join(" ")).toEqual({ exitCode: 0, stderr: "" });
      return stdout;
    }

    it("two pods reach each other, the node, themselves and what is outside", async () => {
      const [one, two] = [await add({ name: "one" }), await add({ name: "two" })];
      expect(two.addresses).toHaveLength(2);
      for (const address of [...two.addresses, V4_GATEWAY, V6_GATEWAY, "127.0.0.1", "::1", outside.v4, outside.v6])
        expect(await succeed(one, pinging(address))).toContain("1 packets received");
      for (const address of one.addresses) await succeed(two, pinging(address));
      await take(one);
      await take(two);
      expectNothingLeft(node, before);
    });

    it("host ports lead to a pod, from outside and from another pod, until it is removed", async () => {
      const [one, two] = [
        await add({ name: "one", ports: [{ hostPort: 8081, containerPort: 80 }] }),
        await add({
          name: "two",
          ports: [
            { hostPort: 8082, containerPort: 80 },
            { hostPort: 8083, containerPort: 80, hostIp: outside.node.v4 },
          ],
        }),
      ];
      await succeed(one, serving("one"));
      await succeed(two, serving("two"));
      const [v4, v6] = [outside.node.v4, `[${outside.node.v6}]`];
      expect(fetchFrom(outside, `http://${v4}:8081/`)).toBe("one");
      expect(fetchFrom(outside, `http://${v6}:8081/`)).toBe("one");
      for (const port of [8082, 8083]) expect(fetchFrom(outside, `http://${v4}:${port}/`)).toBe("two");
      for (const pod of [one, two])
        expect((await succeed(pod, ["wget", "-q", "-O", "-", `http://${v4}:8082/`])).trim()).toBe("two");
      await take(two);
      expect(fetchFrom(outside, `http://${v4}:8082/`)).toBeUndefined();
      expect(fetchFrom(outside, `http://${v4}:8081/`)).toBe("one");
      await take(one);
      expectNothingLeft(node, before);
    });

    it("annotations limit a pod's bandwidth", async () => {
      const pod = await add({ name: "slow", annotations: { "kubernetes.io/ingress-bandwidth": "8M" } });
      expect(output("tc", "qdisc", "show")).toMatch(/qdisc tbf .* rate 8Mbit/);
      await take(pod);
      expect(output("tc", "qdisc", "show")).not.toContain("tbf");
      expectNothingLeft(node, before);
    });

    it("eight pods come and go at once", async () => {
      const names = Array.from({ length: 8 }, (_, i) => `pod${i}`);
      const pods = await Promise.all(names.map((name) => add({ name })));
      const addresses = pods.flatMap((pod) => pod.addresses);
      expect(new Set(addresses).size).toBe(16);
      await Promise.all(pods.map((pod, i) => succeed(pod, pinging(addresses[(2 * i + 3) % 16] ?? ""))));
      await Promise.all(pods.map(take));
      expectNothingLeft(node, before);
    });

    it("a pod lives through a restart of containerd, and is removed after it", async () => {
      const ports = [{ hostPort: 8081, containerPort: 80 }];
      const old = await add({ name: "old", ports });
      await succeed(old, serving("old"));
      await containerd.stop();
      await containerd.start();
      expect(await containerd.cri.addresses(old.id)).toEqual(old.addresses);
      const next = await add({ name: "next" });
      await succeed(old, pinging(next.addresses[0] ?? ""));
      expect(fetchFrom(outside, `http://${outside.node.v4}:8081/`)).toBe("old");
      await take(old);
      await take(next);
      expectNothingLeft(node, before);
    });

    it("a pod whose namespace lost its name is removed", async () => {
      const pod = await add({ name: "nameless", ports: [{ hostPort: 8081, containerPort: 80 }] });
      node.output("sh", "-c", "umount /run/netns/* && rm /run/netns/*");
      await take(pod);
      expectNothingLeft(node, before);
    });

    it("a pod whose namespace vanished in a crash is removed, and its host port is free", async () => {
      const wish = { name: "crashed", ports: [{ hostPort: 8081, containerPort: 80 }] };
      const pod = await add(wish);
      await containerd.crash();
      expect(leases()).toHaveLength(2);
      await containerd.start();
      expect(await containerd.cri.sandboxes()).toEqual([pod.id]);
      await take(pod);
      expectNothingLeft(node, before);
      const next = await add({ ...wish, name: "next" });
      await succeed(next, serving("next"));
      expect(fetchFrom(outside, `http://${outside.node.v4}:8081/`)).toBe("next");
      await take(next);
      expectNothingLeft(node, before);
    });

    it("ctr run --cni attaches a container, and leaves nothing", () => {
      expect(containerd.runByCtr("once", ...pinging(V4_GATEWAY))).toMatchObject({ status: 0, stderr: "" });
      expect(containerd.runByCtr("again", ...pinging(outside.v6))).toMatchObject({ status: 0, stderr: "" });
      expect(containerd.runByCtr("failing", "sh", "-c", "exit 3")).toMatchObject({ status: 3 });
      expectNothingLeft(node, before);
    });

    if (Number.parseInt(version, 10) >= 2) {
      it("STATUS: the node's network is ready while addresses are left, and says why when none are", async () => {
        const ranges = [[{ subnet: "10.94.0.0/30" }]];
        const plugin = { type: "podlink", bridge: "tiny0", ipam: { type: "host-local", ranges } };
        await containerd.stop();
        writeNetwork({ cniVersion: "1.1.0", name: "tiny", plugins: [plugin] });
        await containerd.start();
        expect(await containerd.cri.networkReady()).toEqual({ ready: true, message: "" });
        const pod = await add({ name: "only" });
        expect(await containerd.cri.networkReady()).toEqual({
          ready: false,
          message: expect.stringContaining("no IP addresses available in range set"),
        });
        await expect(add({ name: "superfluous" })).rejects.toThrow("no IP addresses available in range set");
        await take(pod);
        expect(await containerd.cri.networkReady()).toEqual({ ready: true, message: "" });
        for (const id of await containerd.cri.sandboxes()) await take({ id });
        output("ip", "link", "del", "tiny0");
        await containerd.stop();
        install();
        await containerd.start();
        expectNothingLeft(node, before);
      });
    }

    // The last one: the node is another afterwards
    it("pods of before a restart of the node are removed", async () => {
      const pods = [await add({ name: "one", ports: [{ hostPort: 8081, containerPort: 80 }] }), await add({ name: "two" })];
      await containerd.crash();
      restartNode();
      await containerd.start();
      const started = nodeSnapshot();
      expect(leases()).toHaveLength(4);
      for (const pod of pods) await take(pod);
      expect(leases()).toEqual([]);
      expect(files("/var/lib/cni/results")).toEqual([]);
      expect(nodeSnapshot()).toEqual({ ...Object(started), leases: [] });
    });
  });
}

/** What is left of a node when its power comes back: its disk. */
function restartNode(): void {
  becomeHost();
  output("ip", "link", "set", "lo", "up");
  rmSync("/run/cni", { recursive: true, force: true });
}
