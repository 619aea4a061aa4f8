import { describe, expect, it } from "vitest";
import { Address } from "../../../../src/ip/address.ts";
import { NetlinkConnection } from "../../../../src/netlink/connection.ts";
import {
  type ConnectionFilter,
  conntrackMessage,
  deleteConnection,
  listConnections,
} from "../../../../src/netlink/netfilter/conntrack.ts";
import { IPCTNL } from "../../../../src/netlink/netfilter/message-types.ts";
import { ack, done, FakeKernel, refusal, replay } from "../../../support/fake-kernel.ts";
import { bodyOf, toHex, vector, type WireMessage } from "../../../support/hex.ts";

const FILE = "conntrack.hex";
const UDP = 17;
const [ENOENT, EPERM, EINVAL, EOPNOTSUPP] = [2, 1, 22, 95] as const;

/** A kernel with the captured connections. */
function kernelWith(family: 4 | 6): FakeKernel {
  return new FakeKernel((request) => [replay(request, vector(FILE, `answer: dump IPv${family}`)), done(request)]);
}

function count(filter: ConnectionFilter): number {
  return listConnections(new NetlinkConnection(kernelWith(filter.family ?? 4)), filter).length;
}

const ip = (text: string) => Address.parse(text);

describe("listConnections", () => {
  it("reads both directions", () => {
    const [entry] = listConnections(new NetlinkConnection(kernelWith(4)), { family: 4 });
    expect(entry).toMatchObject({
      original: {
        ip: { source4: ip("127.0.0.1"), destination4: ip("127.0.0.2") },
        protocol: { number: UDP, sourcePort: 4444, destinationPort: 5353 },
      },
      reply: {
        ip: { source4: ip("127.0.0.1"), destination4: ip("127.0.0.1") },
        protocol: { number: UDP, sourcePort: 5300, destinationPort: 4444 },
      },
    });
  });

  it.each<{ filter: ConnectionFilter; found: number }>([
    { filter: { family: 4 }, found: 1 },
    { filter: { family: 4, protocol: UDP }, found: 1 },
    { filter: { family: 4, protocol: 6 }, found: 0 },
    { filter: { family: 4, original: { destinationPort: 5353 } }, found: 1 },
    { filter: { family: 4, original: { destinationPort: 5300 } }, found: 0 },
    { filter: { family: 4, original: { sourcePort: 4444, source: ip("127.0.0.1") } }, found: 1 },
    { filter: { family: 4, original: { sourcePort: 4445, source: ip("127.0.0.1") } }, found: 0 },
    { filter: { family: 4, original: { destination: ip("127.0.0.2") } }, found: 1 },
    { filter: { family: 4, original: { destination: ip("127.0.0.1") } }, found: 0 },
    { filter: { family: 4, reply: { sourcePort: 5300, destinationPort: 4444 } }, found: 1 },
    { filter: { family: 4, reply: { sourcePort: 5353 } }, found: 0 },
    { filter: { family: 6, original: { destination: ip("::1"), destinationPort: 5300 } }, found: 1 },
    { filter: { family: 6, original: { destination: ip("::2"), destinationPort: 5300 } }, found: 0 },
    { filter: { family: 6, reply: { source: ip("::1") } }, found: 1 },
  ])("has those that agree, whatever the kernel sends: $filter", ({ filter, found }) => {
    expect(count(filter)).toBe(found);
  });

  it.each([4, 6] as const)("asks for all in the bytes of conntrack: IPv%d", (family) => {
    const kernel = kernelWith(family);
    listConnections(new NetlinkConnection(kernel), { family });
    expect(kernel.requests.map(({ type, body }) => [type, toHex(body)])).toEqual([
      [IPCTNL.GET.number, toHex(bodyOf(FILE, `dump IPv${family}`))],
    ]);
  });

  function asked(filter: ConnectionFilter): ReturnType<typeof conntrackMessage.decode> | undefined {
    const kernel = kernelWith(filter.family ?? 4);
    listConnections(new NetlinkConnection(kernel), filter);
    const [request] = kernel.requests;
    return request === undefined ? undefined : conntrackMessage.decode(request.body);
  }

  it("asks the kernel to leave out the others", () => {
    const original = { source: ip("10.0.0.1"), destination: ip("10.0.0.2"), sourcePort: 1, destinationPort: 2 };
    expect(asked({ family: 4, protocol: UDP, original })).toMatchObject({
      filter: { original: 1 | 2 | 8 | 16 | 32, reply: 0 },
      original: {
        ip: { source4: original.source, destination4: original.destination },
        protocol: { number: UDP, sourcePort: 1, destinationPort: 2 },
      },
    });
    expect(asked({ family: 4, reply: { source: ip("10.0.0.1") } })?.filter).toEqual({ original: 0, reply: 1 });
  });

  it("does not ask it for ports without their protocol, nor for addresses of IPv6", () => {
    expect(asked({ family: 4, original: { destinationPort: 5353 } })?.filter).toBeUndefined();
    expect(asked({ family: 6, original: { destination: ip("::1") } })?.filter).toBeUndefined();
    const both = { destination: ip("::1"), destinationPort: 5300 };
    expect(asked({ family: 6, protocol: UDP, original: both })?.filter).toEqual({ original: 8 | 32, reply: 0 });
  });

  it.each([EINVAL, EOPNOTSUPP])("reads all where the kernel refuses to compare (errno %d)", (errno) => {
    const answer = (request: WireMessage, asked: number) =>
      asked === 0 ? [refusal(request, errno)] : [replay(request, vector(FILE, "answer: dump IPv4")), done(request)];
    const kernel = new FakeKernel(answer);
    const filter = { family: 4, protocol: UDP, original: { destinationPort: 5353 } } as const;
    expect(listConnections(new NetlinkConnection(kernel), filter)).toHaveLength(1);
    expect(kernel.requests).toHaveLength(2);
  });

  it("names the option of a kernel without ctnetlink", () => {
    const connection = new NetlinkConnection(new FakeKernel((request) => [refusal(request, EINVAL)]));
    expect(() => listConnections(connection, { family: 4 })).toThrow(
      "Cannot list connections: the kernel may lack CONFIG_NF_CT_NETLINK",
    );
    const forbidden = new NetlinkConnection(new FakeKernel((request) => [refusal(request, EPERM)]));
    expect(() => listConnections(forbidden, { family: 4 })).toThrow("EPERM");
  });
});

describe("deleteConnection", () => {
  const [entry] = listConnections(new NetlinkConnection(kernelWith(4)), { family: 4 });
  if (entry === undefined) throw new Error("The vector has no connection");

  it("names the connection by the tuple that conntrack names it by, and by its id", () => {
    const kernel = new FakeKernel((request) => [ack(request)]);
    expect(deleteConnection(new NetlinkConnection(kernel), entry)).toBe(true);
    const [request] = kernel.requests;
    const theirs = conntrackMessage.decode(bodyOf(FILE, "delete"));
    expect(request?.type).toBe(IPCTNL.DELETE.number);
    expect(toHex(request?.body ?? new Uint8Array())).toBe(
      toHex(conntrackMessage.encode({ family: theirs.family, original: theirs.original, id: entry.id })),
    );
  });

  it("takes one that is gone for deleted by somebody else", () => {
    expect(deleteConnection(new NetlinkConnection(new FakeKernel((request) => [refusal(request, ENOENT)])), entry)).toBe(false);
    const forbidden = new NetlinkConnection(new FakeKernel((request) => [refusal(request, EPERM)]));
    expect(() => deleteConnection(forbidden, entry)).toThrow("IPCTNL_MSG_CT_DELETE: Operation not permitted (EPERM)");
  });
});
