import { beforeEach, describe, expect, it } from "vitest";
import type { Attached } from "../support/attach.ts";
import { output } from "../support/node.ts";
import { makeOutside, type Outside } from "../support/outside.ts";
import { asked, PortBench, SILENCE_MS } from "../support/port-bench.ts";
import { SctpSocket, sctpInit, sctpInitAck } from "../support/sctp.ts";

// Host ports of protocol sctp, with packets made by hand: the kernel need not have SCTP itself, only pass it on.

const bench = new PortBench();
let outside: Outside;
beforeEach(() => {
  outside = makeOutside();
});

const PATIENCE_MS = 2000;

const ports = [{ hostPort: 9999, containerPort: 7777, protocol: "sctp" }];

/** A container with a port, and what takes the port away. */
interface Served {
  readonly attached: Attached;
  unmap(): void;
}

const ways: Record<string, (mapped: typeof ports) => Served> = {
  portmap(mapped) {
    const attached = bench.map(mapped);
    return { attached, unmap: () => void bench.unmap(attached) };
  },
  podlink(mapped) {
    const attached = bench.attach({
      cniVersion: "1.1.0",
      name: "pods",
      type: "podlink",
      ipam: { type: "host-local", ranges: [[{ subnet: "10.244.1.0/24" }], [{ subnet: "fd00:244:1::/64" }]] },
      ...asked(mapped),
    });
    return { attached, unmap: () => bench.detach(attached) };
  },
};

describe.each(Object.keys(ways))("a port of type %s", (type) => {
  const serve = ways[type] as (typeof ways)[string];

  it.each(["v4", "v6"] as const)("leads an INIT to the container, and its answer back from the node's address: %s", (family) => {
    const { attached } = serve(ports);
    const [client, server] = [
      new SctpSocket(outside[family], outside.sandbox),
      new SctpSocket(attached[family], attached.sandbox),
    ];
    client.send(sctpInit({ from: 5555, to: 9999 }), outside.node[family]);
    expect(server.receive(PATIENCE_MS)).toEqual({ source: outside[family], from: 5555, to: 7777, chunk: "INIT" });
    server.send(sctpInitAck({ from: 7777, to: 5555 }), outside[family]);
    expect(client.receive(PATIENCE_MS)).toEqual({ source: outside.node[family], from: 9999, to: 5555, chunk: "INIT ACK" });
    client.send(sctpInit({ from: 5555, to: 9998 }), outside.node[family]);
    expect(server.receive(SILENCE_MS)).toBeUndefined();
  });

  it("is reached from the node at 127.0.0.1, whose answer comes from there", () => {
    const { attached } = serve(ports);
    const [client, server] = [new SctpSocket("127.0.0.1"), new SctpSocket(attached.v4, attached.sandbox)];
    client.send(sctpInit({ from: 5555, to: 9999 }), "127.0.0.1");
    const arrived = server.receive(PATIENCE_MS);
    expect(arrived).toMatchObject({ source: attached.v4.replace(/\d+$/, "1"), to: 7777, chunk: "INIT" });
    server.send(sctpInitAck({ from: 7777, to: arrived?.from ?? 0 }), arrived?.source ?? "");
    expect(client.receive(PATIENCE_MS)).toEqual({ source: "127.0.0.1", from: 9999, to: 5555, chunk: "INIT ACK" });
  });

  it("is gone with the container, for those who talked to it too", () => {
    const { attached, unmap } = serve(ports);
    const [client, server] = [new SctpSocket(outside.v4, outside.sandbox), new SctpSocket(attached.v4, attached.sandbox)];
    client.send(sctpInit({ from: 5555, to: 9999 }), outside.node.v4);
    expect(server.receive(PATIENCE_MS)).toMatchObject({ to: 7777 });
    expect(output("conntrack", "-L", "-p", "sctp")).toContain("dport=9999");
    unmap();
    expect(output("conntrack", "-L", "-p", "sctp")).not.toContain("dport=9999");
    expect(output("nft", "list", "ruleset")).not.toContain("sctp . 9999");
  });
});
