import { describe, expect, it } from "vitest";
import { shaperLinkName } from "../../src/link/names.ts";
import { type Attached, type AttachOptions, Bench, v4Network } from "../support/attach.ts";
import { DyingSteps, type Json, type PluginCall } from "../support/call-plugin.ts";
import { ipJson, makeSandbox, output } from "../support/node.ts";
import { measureRate } from "../support/rate-meter.ts";

const bench = new Bench();

/** A container on a bridge, with the calls of type bandwidth that follow the bridge's. */
interface Shaped extends Attached {
  /** Calls behind ADD: the configuration has bandwidth's result. */
  readonly later: Omit<PluginCall, "command">;
  /** The host's end of the veth pair. */
  readonly port: string;
  readonly shaper: string;
}

const both: Json = { ingressRate: 8_000_000, ingressBurst: 800_000, egressRate: 16_000_000, egressBurst: 1_600_000 };

function callOf(attached: Attached, keys: Json): Omit<PluginCall, "command"> {
  const { cniVersion, name } = attached.who.config as Json;
  return {
    ...attached.who,
    type: "bandwidth",
    config: { cniVersion, name, type: "bandwidth", ...keys, prevResult: attached.result },
  };
}

function shape(keys: Json, { network = {}, ...options }: AttachOptions & { network?: Json } = {}): Shaped {
  const attached = bench.attach(v4Network(network), options);
  const call = callOf(attached, keys);
  const result = bench.caller.add(call);
  const { containerId = "", ifname = "eth0" } = call;
  return {
    ...attached,
    result,
    later: { ...call, config: { ...(call.config as Json), prevResult: result } },
    port: attached.result.interfaces?.[1]?.name ?? "",
    shaper: shaperLinkName({ network: String((call.config as Json).name), containerId, ifname }),
  };
}

const check = ({ later }: Shaped): PluginCall => ({ ...later, command: "CHECK" });
const del = ({ later }: Shaped): PluginCall => ({ ...later, command: "DEL" });

interface Qdisc {
  readonly kind: string;
  readonly handle: string;
  readonly dev: string;
  readonly options: { readonly rate?: number; readonly burst?: number; readonly lat?: number };
}

function qdiscs(dev?: string): Qdisc[] {
  const all: Qdisc[] = JSON.parse(output("tc", "-j", "qdisc", "show"));
  return all.filter((each) => each.kind !== "noqueue" && (dev === undefined || each.dev === dev));
}

const links = (): string[] => ipJson<{ ifname: string }>("link", "show").map(({ ifname }) => ifname);

/** All that a call may have changed: links by name and kind, queues, filters. */
function traces(): unknown {
  return {
    links: links(),
    qdiscs: qdiscs(),
    filters: links().map((name) => output("tc", "filter", "show", "dev", name, "ingress")),
  };
}

describe("ADD", () => {
  it.each<[title: string, keys: Json, ingress: Json, egress: Json]>([
    ["as asked for", both, { rate: 1_000_000, burst: 100_000 }, { rate: 2_000_000, burst: 200_000 }],
    [
      "of more than 4 GB/s",
      { ...both, ingressRate: 80_000_000_000, ingressBurst: 8_000_000_000 },
      { rate: 10_000_000_000, burst: 1_000_000_000 },
      { rate: 2_000_000, burst: 200_000 },
    ],
    [
      "not whole in bytes",
      { ...both, ingressRate: 8_000_007, ingressBurst: 800_007 },
      { rate: 1_000_000, burst: 100_000 },
      { rate: 2_000_000, burst: 200_000 },
    ],
  ])("sets rates %s", (_title, keys, ingress, egress) => {
    const { port, shaper, result } = shape(keys);
    const lat = 25_000;
    expect(qdiscs()).toEqual([
      expect.objectContaining({ kind: "tbf", handle: "1:", dev: port, options: { ...ingress, lat } }),
      expect.objectContaining({ kind: "ingress", dev: port }),
      expect.objectContaining({ kind: "tbf", handle: "1:", dev: shaper, options: { ...egress, lat } }),
    ]);
    const [ifb] = ipJson<{ address: string; mtu: number; flags: string[]; txqlen?: number; ifalias: string }>(
      "link",
      "show",
      "dev",
      shaper,
    );
    expect(ifb).toMatchObject({ mtu: 1500, linkinfo: { info_kind: "ifb" }, ifalias: "podlink net1 cid-1 eth0" });
    expect(ifb?.flags).toContain("UP");
    expect(result.interfaces?.slice(3)).toEqual([{ name: shaper, mac: ifb?.address, mtu: 1500 }]);
    expect(output("tc", "filter", "show", "dev", port, "ingress")).toContain(
      `mirred (Egress Redirect to device ${shaper}) stolen`,
    );
  });

  it.each([
    ["that stands for none, as Kubernetes' runtimes ask for", 2 ** 32 - 1],
    ["that is 10 bytes in the bits of the kernel's older attribute", 8 * (2 ** 32 / 125 + 10)],
  ])("takes a burst %s at its word", (_title, bits) => {
    const burst = Math.floor(bits);
    const shaped = shape({ runtimeConfig: { bandwidth: { ingressRate: 1_000_000, ingressBurst: burst } } });
    expect(output("tc", "qdisc", "show", "dev", shaped.port)).toMatch(/tbf 1: root refcnt \d+ rate 1Mbit /);
    bench.caller.succeed(check(shaped));
    expect(shaped.sandbox.ping("10.91.0.1")).toBe(true);
  });

  it("gives the ifb the MTU of the veth pair", () => {
    const { shaper } = shape(both, { network: { mtu: 1350 } });
    expect(ipJson("link", "show", "dev", shaper)).toMatchObject([{ mtu: 1350 }]);
  });

  it("limits one direction alone", () => {
    const { port, result } = shape({ ingressRate: 8_000_000, ingressBurst: 800_000 });
    expect(qdiscs().map(({ kind, dev }) => [kind, dev])).toEqual([["tbf", port]]);
    expect(result.interfaces).toHaveLength(3);
    const other = shape({ egressRate: 8_000_000, egressBurst: 800_000 });
    expect(qdiscs(other.port).map(({ kind }) => kind)).toEqual(["ingress"]);
    expect(qdiscs(other.shaper).map(({ kind }) => kind)).toEqual(["tbf"]);
  });

  it.each<[title: string, keys: Json]>([
    ["by the runtime", { runtimeConfig: { bandwidth: both } }],
    [
      "by a runtime that writes keys as Go does",
      {
        runtimeConfig: {
          Bandwidth: {
            IngressRate: both.ingressRate,
            IngressBurst: both.ingressBurst,
            EGRESSRATE: both.egressRate,
            egressburst: both.egressBurst,
          },
        },
      },
    ],
    ["by the configuration, which wins", { ...both, runtimeConfig: { bandwidth: { ingressRate: 8000, ingressBurst: 80_000 } } }],
  ])("limits what is asked for %s", (_title, keys) => {
    const { port, shaper } = shape(keys);
    expect([...qdiscs(port), ...qdiscs(shaper)].map(({ options }) => options.rate)).toEqual([1_000_000, undefined, 2_000_000]);
  });

  it.each<[title: string, keys: Json]>([
    ["no key", {}],
    ["zeros", { ingressRate: 0, ingressBurst: 0, egressRate: 0, egressBurst: 0 }],
    ["a zero that keeps the runtime's from being looked at", { ingressRate: 0, runtimeConfig: { bandwidth: both } }],
    ["null from the runtime", { runtimeConfig: { bandwidth: null } }],
  ])("with %s hands the result on and changes nothing", (_title, keys) => {
    const attached = bench.attach(v4Network());
    const { stdout, steps } = bench.caller.succeed({ ...callOf(attached, keys), command: "ADD" });
    expect(steps).toEqual([]);
    expect(JSON.parse(stdout)).toEqual(attached.result);
  });

  it("for the second time makes the same again, with new rates where they are new", () => {
    const { later, port, shaper, who, ...attached } = shape(both);
    const before = qdiscs();
    const call = { ...later, command: "ADD" };
    bench.caller.succeed(call);
    expect(qdiscs()).toEqual(before);
    bench.caller.succeed({ ...call, config: { ...(later.config as Json), egressRate: 32_000_000 } });
    expect(qdiscs(shaper)).toMatchObject([{ options: { rate: 4_000_000 } }]);
    expect(output("tc", "filter", "show", "dev", port, "ingress").match(/mirred/g)).toHaveLength(1);
    expect(attached.result.interfaces).toHaveLength(4);
  });

  it("works where somebody has put clsact on the link, and leaves it there", () => {
    const attached = bench.attach(v4Network());
    const port = attached.result.interfaces?.[1]?.name ?? "";
    output("tc", "qdisc", "add", "dev", port, "clsact");
    const call = callOf(attached, both);
    const result = bench.caller.add(call);
    const later = { ...call, config: { ...(call.config as Json), prevResult: result } };
    bench.caller.succeed({ ...later, command: "CHECK" });
    bench.caller.succeed({ ...later, command: "DEL" });
    expect(qdiscs().map(({ kind }) => kind)).toEqual(["clsact"]);
  });

  it("warns of a burst that lets no full packet through", () => {
    const attached = bench.attach(v4Network());
    const keys = { ingressRate: 8_000_000, ingressBurst: 8000 };
    const { stderr } = bench.caller.succeed({ ...callOf(attached, keys), command: "ADD" });
    expect(stderr).toBe('bandwidth: "ingressBurst" is 1000 bytes: larger packets are dropped, and the MTU is 1500\n');
  });
});

describe("ADD refuses", () => {
  it.each<[title: string, keys: Json, words: string]>([
    ["a rate without a burst", { ingressRate: 8000 }, "if rate is set, burst must also be set"],
    ["a burst without a rate", { egressBurst: 8000 }, "if burst is set, rate must also be set"],
    ["a burst of 4 GB", { ingressRate: 8000, ingressBurst: 8 * (2 ** 32 - 1) }, "burst cannot be more than 4GB"],
    ["less than a byte per second", { egressRate: 7, egressBurst: 8000 }, "rate and burst are in bits, and at least 8"],
    ["the runtime's too", { runtimeConfig: { bandwidth: { ingressRate: 8000 } } }, "if rate is set, burst must also be set"],
    ["words", { ingressRate: "10M" }, '"ingressRate" is "10M": expected a number'],
    ["less than nothing", { ingressRate: -1 }, '"ingressRate" is -1: expected at least 0'],
  ])("%s", (_title, keys, words) => {
    const call = callOf(bench.attach(v4Network()), keys);
    expect(bench.caller.fail({ ...call, command: "ADD" })).toMatchObject({
      code: 7,
      msg: expect.stringContaining(words),
      steps: [],
    });
  });

  it.each([both, {}])("to be the first of a chain (%j)", (keys) => {
    const call = callOf(bench.attach(v4Network()), { ...keys });
    const error = bench.caller.fail({ ...call, command: "ADD", config: { ...(call.config as Json), prevResult: undefined } });
    expect(error).toMatchObject({ code: 7, msg: expect.stringContaining("must be called as chained plugin"), steps: [] });
  });

  it("an interface that is no veth", () => {
    const attached = bench.attach(v4Network());
    attached.sandbox.ip("link", "add", "eth9", "type", "bridge");
    const error = bench.caller.fail({ ...callOf(attached, both), ifname: "eth9", command: "ADD" });
    expect(error).toMatchObject({
      code: 7,
      msg: 'Cannot limit the rate of "eth9": container interface "eth9" has no veth peer: it is of kind bridge',
    });
  });

  it("a veth pair with both ends in the container", () => {
    const attached = bench.attach(v4Network());
    attached.sandbox.ip("link", "add", "eth9", "type", "veth", "peer", "name", "eth8");
    const error = bench.caller.fail({ ...callOf(attached, both), ifname: "eth9", command: "ADD" });
    expect(error).toMatchObject({ code: 7, msg: expect.stringMatching(/veth peer .* is not in host ns$/), steps: [] });
  });

  it("an interface that is not there", () => {
    const error = bench.caller.fail({ ...callOf(bench.attach(v4Network()), both), ifname: "eth9", command: "ADD" });
    expect(error).toMatchObject({ code: 999, msg: expect.stringContaining('"eth9" not found'), steps: [] });
  });

  it("a link of another kind in the ifb's place, and undoes what it has done", () => {
    const attached = bench.attach(v4Network());
    output("ip", "link", "add", shaperLinkName({ network: "net1", containerId: "cid-1", ifname: "eth0" }), "type", "bridge");
    const error = bench.caller.fail({ ...callOf(attached, both), command: "ADD" });
    expect(error.msg).toMatch(/^Cannot limit the rate of "eth0" at "pl.*": Cannot use "plB.*": .* is not an ifb$/);
    expect(qdiscs()).toEqual([]);
  });
});

describe("the rate", () => {
  /** The burst is spent when half of what is sent has passed; the other half waits in the queue, and takes a quarter of a second. */
  const burst = 500_000;
  const keys = { Rate: 8 * 2_000_000, Burst: 8 * burst };

  it.each([
    { direction: "ingress", limited: { ingressRate: keys.Rate, ingressBurst: keys.Burst } },
    { direction: "egress", limited: { egressRate: keys.Rate, egressBurst: keys.Burst } },
  ])("of $direction is what was asked for, once the burst is spent", ({ direction, limited }) => {
    // A sender that was held up for so long measures itself, and not the queue
    const tries = Array.from({ length: 10 }, () => () => {
      const one = shape(limited);
      const other = bench.attach(v4Network());
      const [from, to] = direction === "ingress" ? [other, one] : [one, other];
      return measureRate(from.sandbox, to.sandbox, { bytes: 2 * burst, skip: 1.2 * burst });
    });
    let measured = tries[0]?.();
    for (const again of tries.slice(1)) if ((measured?.sendingMs ?? 0) > 25) measured = again();
    expect(measured?.received).toBe(2 * burst);
    expect((measured?.rate ?? 0) / 2_000_000).toBeGreaterThan(0.8);
    expect((measured?.rate ?? 0) / 2_000_000).toBeLessThan(1.1);
  });

  it("of the other direction has no limit", () => {
    const one = shape({ ingressRate: keys.Rate, ingressBurst: keys.Burst });
    const other = bench.attach(v4Network());
    // Far more than the bucket and its queue would let through or keep
    expect(measureRate(one.sandbox, other.sandbox, { bytes: 4 * burst, skip: 0 }).received).toBe(4 * burst);
    expect(output("ip", "link", "show", "type", "ifb")).toBe("");
  });

  it("lets nothing be lost on the way, in either direction", () => {
    const [one, two] = [shape(both), shape(both)];
    expect(one.sandbox.ping(two.v4)).toBe(true);
    expect(two.sandbox.ping("10.91.0.1")).toBe(true);
    expect(output("ping", "-c", "1", "-W", "2", one.v4)).toContain("1 received");
  });
});

describe("CHECK", () => {
  it("passes after ADD, without a change", () => {
    for (const keys of [both, { runtimeConfig: { bandwidth: both } }, {}]) {
      expect(bench.caller.succeed(check(shape(keys))).steps).toEqual([]);
    }
  });

  it.each<[what: string, spoil: (shaped: Shaped) => void, words: string[]]>([
    [
      "a limit that is gone",
      ({ port }) => output("tc", "qdisc", "del", "dev", port, "root"),
      ["what the container receives", 'its limit is "noqueue", expected "tbf rate 8000000bit burst 100000 limit 125000"'],
    ],
    [
      "another rate",
      ({ port }) =>
        output(
          "tc",
          "qdisc",
          "change",
          "dev",
          port,
          "root",
          "handle",
          "1:",
          "tbf",
          "rate",
          "9mbit",
          "burst",
          "100000",
          "limit",
          "125000",
        ),
      ['its limit is "tbf rate 9000000bit burst 100000 limit 125000", expected "tbf rate 8000000bit burst 100000 limit 125000"'],
    ],
    [
      "another burst",
      ({ port }) =>
        output(
          "tc",
          "qdisc",
          "change",
          "dev",
          port,
          "root",
          "handle",
          "1:",
          "tbf",
          "rate",
          "8mbit",
          "burst",
          "50000",
          "limit",
          "125000",
        ),
      ["burst 50000", "burst 100000"],
    ],
    [
      "another latency",
      ({ port }) =>
        output(
          "tc",
          "qdisc",
          "change",
          "dev",
          port,
          "root",
          "handle",
          "1:",
          "tbf",
          "rate",
          "8mbit",
          "burst",
          "100000",
          "limit",
          "150000",
        ),
      ["limit 150000", "limit 125000"],
    ],
    [
      "another kind of queue",
      ({ port }) => output("tc", "qdisc", "replace", "dev", port, "root", "handle", "2:", "pfifo"),
      ['its limit is "pfifo"'],
    ],
    [
      "an ifb that is gone",
      ({ shaper }) => output("ip", "link", "del", shaper),
      ['link "plB', "not found", 'redirected to is "a link that is gone"'],
    ],
    ["an ifb that is down", ({ shaper }) => output("ip", "link", "set", shaper, "down"), ['its state is "down", expected "up"']],
    [
      "an ifb without a limit",
      ({ shaper }) => output("tc", "qdisc", "del", "dev", shaper, "root"),
      ["what the container sends", 'expected "tbf rate 16000000bit'],
    ],
    [
      "a redirect that is gone",
      ({ port }) => output("tc", "filter", "del", "dev", port, "ingress"),
      ["it is redirected to is missing"],
    ],
    [
      "an ingress qdisc that is gone",
      ({ port }) => output("tc", "qdisc", "del", "dev", port, "ingress"),
      ["it is redirected to is missing"],
    ],
    [
      "a redirect to elsewhere",
      ({ port }) => {
        output("tc", "filter", "del", "dev", port, "ingress");
        const match = ["u32", "match", "u32", "0", "0", "action", "mirred", "egress", "redirect", "dev", "lo"];
        output("tc", "filter", "add", "dev", port, "ingress", "protocol", "all", "prio", "1", ...match);
      },
      ['it is redirected to is "lo", expected "plB'],
    ],
  ])("finds %s", (_what, spoil, words) => {
    const shaped = shape(both);
    spoil(shaped);
    const { code, msg, steps } = bench.caller.fail(check(shaped));
    expect({ code, steps }).toEqual({ code: 999, steps: [] });
    for (const word of words) expect(msg).toContain(word);
  });

  it("names every difference at once", () => {
    const shaped = shape(both);
    for (const dev of [shaped.port, shaped.shaper]) output("tc", "qdisc", "del", "dev", dev, "root");
    const { msg } = bench.caller.fail(check(shaped));
    expect(msg).toContain("what the container receives");
    expect(msg).toContain("what the container sends");
  });
});

describe("DEL", () => {
  it("leaves what the bridge made", () => {
    const attached = bench.attach(v4Network());
    const before = traces();
    const call = callOf(attached, both);
    bench.caller.add(call);
    expect(traces()).not.toEqual(before);
    bench.caller.succeed({ ...call, command: "DEL" });
    expect(traces()).toEqual(before);
    expect(bench.caller.succeed({ ...call, command: "DEL" }).stderr).toBe("");
    expect(attached.sandbox.ping("10.91.0.1")).toBe(true);
  });

  it.each<[title: string, more: (shaped: Shaped) => Partial<PluginCall>]>([
    ["namespace", () => ({ env: { CNI_NETNS: undefined } })],
    ["namespace that is there", () => ({ netns: "/run/netns/gone" })],
    [
      "rates",
      ({ later }) => ({
        config: { ...(later.config as Json), ...Object.fromEntries(Object.keys(both).map((key) => [key, undefined])) },
      }),
    ],
    ["rates that make sense", ({ later }) => ({ config: { ...(later.config as Json), ingressBurst: 0 } })],
    ["result of the ADD", ({ later }) => ({ config: { ...(later.config as Json), prevResult: undefined } })],
  ])("needs no %s", (_title, more) => {
    const shaped = shape(both);
    bench.caller.succeed({ ...del(shaped), ...more(shaped) });
    expect(links()).not.toContain(shaped.shaper);
    expect(qdiscs()).toEqual([]);
  });

  it("goes on where the veth pair is gone", () => {
    const shaped = shape(both);
    output("ip", "link", "del", shaped.port);
    bench.caller.succeed(del(shaped));
    expect(links()).not.toContain(shaped.shaper);
  });

  it("leaves queues and filters of others on the link", () => {
    const shaped = shape(both);
    output("tc", "qdisc", "replace", "dev", shaped.port, "root", "handle", "2:", "pfifo");
    const match = ["u32", "match", "u32", "0", "0", "action", "mirred", "egress", "mirror", "dev", "lo"];
    output("tc", "filter", "add", "dev", shaped.port, "ingress", "protocol", "ip", "prio", "7", ...match);
    bench.caller.succeed(del(shaped));
    expect(qdiscs().map(({ kind }) => kind)).toEqual(["pfifo", "ingress"]);
    expect(output("tc", "filter", "show", "dev", shaped.port, "ingress")).toContain("Egress Mirror to device lo");
  });

  it("of one of two interfaces in one network leaves the other limited", () => {
    const sandbox = makeSandbox();
    const one = shape(both, { sandbox, containerId: "cid-1", ifname: "eth0" });
    const two = shape(both, { sandbox, containerId: "cid-1", ifname: "eth1" });
    expect(one.shaper).not.toBe(two.shaper);
    bench.caller.succeed(del(one));
    bench.caller.succeed(check(two));
    bench.caller.succeed(del(two));
    expect(qdiscs()).toEqual([]);
  });

  it("of one of two networks of a container leaves the other limited", () => {
    const sandbox = makeSandbox();
    const one = shape(both, { sandbox, containerId: "cid-1" });
    const ipam = { type: "host-local", ranges: [[{ subnet: "10.92.0.0/24" }]] };
    const two = shape(both, { sandbox, containerId: "cid-1", ifname: "net0", network: { name: "net2", bridge: "br2", ipam } });
    bench.caller.succeed(del(two));
    bench.caller.succeed(check(one));
  });
});

describe("an ADD that was killed", () => {
  it("is finished by the next, or cleared away by DEL, wherever it was", () => {
    const attached = bench.attach(v4Network());
    const before = traces();
    const call = callOf(attached, both);
    const { steps } = bench.caller.succeed({ ...call, command: "ADD" });
    bench.caller.succeed({ ...call, command: "DEL" });
    for (let changes = 0; changes < steps.length; changes++) {
      bench.caller.fail({ ...call, command: "ADD", steps: new DyingSteps(changes) });
      const result = bench.caller.add(call);
      bench.caller.succeed({ ...call, command: "CHECK", config: { ...(call.config as Json), prevResult: result } });
      bench.caller.succeed({ ...call, command: "DEL" });
      bench.caller.fail({ ...call, command: "ADD", steps: new DyingSteps(changes) });
      bench.caller.succeed({ ...call, command: "DEL" });
      expect(traces()).toEqual(before);
    }
  });
});

describe("GC", () => {
  const collect = (valid: Json[], name = "net1"): PluginCall => ({
    type: "bandwidth",
    command: "GC",
    config: { cniVersion: "1.1.0", name, type: "bandwidth", "cni.dev/valid-attachments": valid },
  });

  it("removes the ifbs of attachments that are not valid, and no others", () => {
    const kept = shape(both, { containerId: "kept" });
    const stale = shape(both, { containerId: "stale" });
    const ipam = { type: "host-local", ranges: [[{ subnet: "10.92.0.0/24" }]] };
    const other = shape(both, { containerId: "stale", network: { name: "net2", bridge: "br2", ipam } });
    output("ip", "link", "add", "ifb7", "type", "ifb");
    bench.caller.succeed(collect([{ containerID: "kept", ifname: "eth0" }]));
    expect(links()).not.toContain(stale.shaper);
    for (const shaped of [kept, other]) bench.caller.succeed(check(shaped));
    bench.caller.succeed(collect([]));
    bench.caller.succeed(collect([], "net2"));
    expect(links().filter((name) => name.startsWith("plB"))).toEqual([]);
    expect(links()).toContain("ifb7");
  });

  it("leaves an ifb whose alias names another network of the same letters", () => {
    const { shaper } = shape(both);
    output("ip", "link", "set", shaper, "alias", "podlink net1x cid-1 eth0");
    bench.caller.succeed(collect([]));
    expect(links()).toContain(shaper);
  });
});

describe("STATUS", () => {
  it.each([both, {}])("is fine where the kernel has what it takes, without a change (%j)", (keys) => {
    const before = traces();
    const config = { cniVersion: "1.1.0", name: "net1", type: "bandwidth", ...keys };
    expect(bench.caller.succeed({ type: "bandwidth", command: "STATUS", config })).toMatchObject({ steps: [], stderr: "" });
    expect(traces()).toEqual(before);
  });
});
