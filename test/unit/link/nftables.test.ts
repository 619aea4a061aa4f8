import { describe, expect, it } from "vitest";
import type { NetworkNamespace } from "../../../src/link/namespace.ts";
import { rehearse, tableNames } from "../../../src/link/nftables.ts";
import { NFNL_BATCH, NFT } from "../../../src/netlink/netfilter/message-types.ts";
import { Nftables } from "../../../src/netlink/netfilter/nftables.ts";
import { encodeTable } from "../../../src/netlink/netfilter/table.ts";
import { SyscallError } from "../../../src/sys/errno.ts";
import { ack, answers, done, FakeKernel, refusal } from "../../support/fake-kernel.ts";

const EPERM = 1;
const EINVAL = 22;

function namespaceOf(kernel: FakeKernel): NetworkNamespace {
  return { nftables: new Nftables(kernel) } as unknown as NetworkNamespace;
}

describe("tableNames", () => {
  it("has family and name", () => {
    const bodies = [encodeTable({ family: "inet", name: "podlink" }), encodeTable({ family: "bridge", name: "nat" })];
    const kernel = new FakeKernel((request) => [answers(request, NFT.NEWTABLE.number, { bodies }), done(request)]);
    expect([...tableNames(namespaceOf(kernel))]).toEqual(["inet podlink", "bridge nat"]);
  });

  it("has none on a kernel without nf_tables, which knows no such subsystem", () => {
    const kernel = new FakeKernel((request) => [refusal(request, EINVAL)]);
    expect(tableNames(namespaceOf(kernel)).size).toBe(0);
  });

  it("has none on a kernel without netfilter's netlink family, which has no such socket", () => {
    const namespace = {
      get nftables(): Nftables {
        const cause = new SyscallError("socket", 93); // EPROTONOSUPPORT
        throw new Error("Cannot open nf_tables: the kernel lacks CONFIG_NETFILTER_NETLINK", { cause });
      },
    };
    expect(tableNames(namespace as unknown as NetworkNamespace).size).toBe(0);
  });

  it("does not take a refusal for none", () => {
    const kernel = new FakeKernel((request) => [refusal(request, EPERM)]);
    expect(() => tableNames(namespaceOf(kernel))).toThrow("EPERM");
  });
});

describe("rehearse", () => {
  it("sends no end of the batch, so that the kernel only checks it", () => {
    const kernel = new FakeKernel((request) => (request.type === NFT.NEWTABLE.number ? [ack(request)] : []));
    rehearse(namespaceOf(kernel), (batch) => batch.addTable({ family: "inet", name: "podlink" }));
    expect(kernel.requests.map(({ type }) => type)).toEqual([NFNL_BATCH.BEGIN.number, NFT.NEWTABLE.number]);
  });

  it("throws what the kernel would refuse", () => {
    const kernel = new FakeKernel((request) => (request.type === NFT.NEWTABLE.number ? [refusal(request, 95)] : []));
    const attempt = () => rehearse(namespaceOf(kernel), (batch) => batch.addTable({ family: "bridge", name: "podlink" }));
    expect(attempt).toThrow(/nft add table bridge podlink: .*EOPNOTSUPP.*CONFIG_NF_TABLES_BRIDGE/);
  });
});
