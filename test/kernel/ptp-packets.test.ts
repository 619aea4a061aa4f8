import { beforeEach, describe, expect, it } from "vitest";
import { type Attached, Bench, ptpNetwork } from "../support/attach.ts";
import type { Json } from "../support/call-plugin.ts";
import { output, type Sandbox } from "../support/node.ts";
import { makeOutside, type Outside } from "../support/outside.ts";
import { ask, type Protocol, serve } from "../support/talk.ts";

// Packets to and from containers that the node routes to, and whom the other side sees.

const bench = new Bench();
let outside: Outside;
beforeEach(() => {
  outside = makeOutside();
});

const PORT = 7000;
const onNode = <T>(work: () => T): T => work();
const inSandbox = (sandbox: Sandbox): typeof onNode => sandbox.run.bind(sandbox);

function otherNetwork(more: Json = {}): Json & { readonly type: string } {
  const ranges = [[{ subnet: "10.92.0.0/24" }], [{ subnet: "fd00:92::/64" }]];
  const routes = [{ dst: "0.0.0.0/0" }, { dst: "::/0" }];
  return ptpNetwork({ name: "net2", ipam: { type: "host-local", ranges, routes }, ...more });
}

/** Answers with the address it sees. */
async function listen(inside: typeof onNode, address: string, protocol: Protocol = "tcp"): Promise<void> {
  await serve(inside, { protocol, address, port: PORT, name: "saw" });
}

function seen(from: typeof onNode, address: string, protocol: Protocol = "tcp"): string | undefined {
  return ask(from, { protocol, address, port: PORT });
}

async function listenOn({ sandbox, v4, v6 }: Attached): Promise<void> {
  for (const address of [v4, v6]) await listen(inSandbox(sandbox), address);
}

describe("the node and a container", () => {
  it("reach each other with the first packet", () => {
    const { sandbox, v4, v6 } = bench.attach(ptpNetwork());
    for (const gateway of ["10.91.0.1", "fd00:91::1", outside.node.v4, outside.node.v6]) expect(sandbox.ping(gateway)).toBe(true);
    const next = bench.attach(ptpNetwork());
    for (const address of [v4, v6, next.v4, next.v6]) output("ping", "-c", "1", "-W", "2", address);
  });

  it("see each other's own addresses, masqueraded or not", async () => {
    const attached = bench.attach(ptpNetwork({ ipMasq: true }));
    await listenOn(attached);
    for (const address of ["10.91.0.1", "fd00:91::1", outside.node.v4]) await listen(onNode, address);
    expect(seen(onNode, attached.v4)).toBe("saw 10.91.0.1");
    expect(seen(onNode, attached.v6)).toBe("saw fd00:91::1");
    const from = inSandbox(attached.sandbox);
    expect(seen(from, "10.91.0.1")).toBe(`saw ${attached.v4}`);
    expect(seen(from, outside.node.v4)).toBe(`saw ${attached.v4}`);
    expect(seen(from, "fd00:91::1")).toBe(`saw ${attached.v6}`);
  });
});

describe("two containers", () => {
  it("of one network reach each other through the node, under their own addresses", async () => {
    const [one, two] = [bench.attach(ptpNetwork({ ipMasq: true })), bench.attach(ptpNetwork({ ipMasq: true }))];
    await listenOn(two);
    await listen(inSandbox(two.sandbox), two.v4, "udp");
    const from = inSandbox(one.sandbox);
    expect(seen(from, two.v4)).toBe(`saw ${one.v4}`);
    expect(seen(from, two.v4, "udp")).toBe(`saw ${one.v4}`);
    expect(seen(from, two.v6)).toBe(`saw ${one.v6}`);
    expect(one.sandbox.run(() => output("ip", "neighbour", "show"))).not.toContain(two.v4); // no way past the node
  });

  it("of two networks reach each other, under the node's address only where one is masqueraded", async () => {
    const plain = bench.attach(ptpNetwork());
    const hidden = bench.attach(otherNetwork({ ipMasq: true }));
    await listenOn(plain);
    await listenOn(hidden);
    expect(seen(inSandbox(plain.sandbox), hidden.v4)).toBe(`saw ${plain.v4}`);
    expect(seen(inSandbox(plain.sandbox), hidden.v6)).toBe(`saw ${plain.v6}`);
    expect(seen(inSandbox(hidden.sandbox), plain.v4)).toBe("saw 10.91.0.1");
    expect(seen(inSandbox(hidden.sandbox), plain.v6)).toBe("saw fd00:91::1");
  });
});

describe("a container and the outside", () => {
  it("with ipMasq see the node, in both families and over udp", async () => {
    const { sandbox } = bench.attach(ptpNetwork({ ipMasq: true }));
    for (const address of [outside.v4, outside.v6]) await listen(inSandbox(outside.sandbox), address);
    await listen(inSandbox(outside.sandbox), outside.v4, "udp");
    const from = inSandbox(sandbox);
    expect(seen(from, outside.v4)).toBe("saw 192.0.2.1");
    expect(seen(from, outside.v4, "udp")).toBe("saw 192.0.2.1");
    expect(seen(from, outside.v6)).toBe("saw 2001:db8::1");
  });

  it("without see each other", async () => {
    const attached = bench.attach(ptpNetwork());
    for (const address of [outside.v4, outside.v6]) await listen(inSandbox(outside.sandbox), address);
    await listenOn(attached);
    expect(seen(inSandbox(attached.sandbox), outside.v4)).toBe(`saw ${attached.v4}`);
    expect(seen(inSandbox(attached.sandbox), outside.v6)).toBe(`saw ${attached.v6}`);
    expect(seen(inSandbox(outside.sandbox), attached.v4)).toBe(`saw ${outside.v4}`);
    expect(seen(inSandbox(outside.sandbox), attached.v6)).toBe(`saw ${outside.v6}`);
  });

  it("with nonMasqueradeCIDRs see each other where they say so", async () => {
    const attached = bench.attach(ptpNetwork({ ipMasq: true, nonMasqueradeCIDRs: ["192.0.2.0/24"] }));
    for (const address of [outside.v4, outside.v6]) await listen(inSandbox(outside.sandbox), address);
    expect(seen(inSandbox(attached.sandbox), outside.v4)).toBe(`saw ${attached.v4}`);
    expect(seen(inSandbox(attached.sandbox), outside.v6)).toBe("saw 2001:db8::1");
  });

  it.each(["iptables", "nftables"])("are told apart by nf_tables with backend %s", async (ipMasqBackend) => {
    const { sandbox } = bench.attach(ptpNetwork({ ipMasq: true, ipMasqBackend }));
    await listen(inSandbox(outside.sandbox), outside.v4);
    expect(seen(inSandbox(sandbox), outside.v4)).toBe("saw 192.0.2.1");
  });
});

describe("a container in two networks", () => {
  const both = () => {
    const first = bench.attach(ptpNetwork({ ipMasq: true }), { containerId: "both" });
    const ipam = { type: "host-local", ranges: [[{ subnet: "10.92.0.0/24" }], [{ subnet: "fd00:92::/64" }]] };
    const config = otherNetwork({ ipMasq: true, ipam });
    const second = bench.attach(config, { containerId: "both", ifname: "eth1", sandbox: first.sandbox });
    return { first, second, neighbours: [bench.attach(ptpNetwork()), bench.attach(otherNetwork())] as const };
  };

  it("answers in each of them", async () => {
    const { first, second, neighbours } = both();
    for (const attached of [first, second]) await listenOn(attached);
    for (const [place, attached] of [first, second].entries()) {
      const neighbour = neighbours[place];
      if (neighbour === undefined) throw new Error("no neighbour");
      expect(seen(inSandbox(neighbour.sandbox), attached.v4)).toBe(`saw ${neighbour.v4}`);
      expect(seen(inSandbox(neighbour.sandbox), attached.v6)).toBe(`saw ${neighbour.v6}`);
    }
    for (const { who } of [first, second]) bench.caller.succeed({ ...who, command: "CHECK" });
  });

  it("goes on in one when it leaves the other", async () => {
    const { first, second, neighbours } = both();
    await listen(inSandbox(outside.sandbox), outside.v4);
    bench.detach(second);
    expect(seen(inSandbox(first.sandbox), outside.v4)).toBe("saw 192.0.2.1");
    expect(first.sandbox.ping(neighbours[0].v4)).toBe(true);
    bench.caller.succeed({ ...first.who, command: "CHECK" });
    const elements = output("nft", "list", "map", "inet", "podlink", "masqueraded4");
    expect(elements).toContain(first.v4);
    expect(elements).not.toContain(second.v4);
  });
});
