import { describe, expect, it } from "vitest";
import { Batch } from "../../../../src/netlink/netfilter/batch.ts";
import { NFNL_BATCH, NFT } from "../../../../src/netlink/netfilter/message-types.ts";
import { Nftables } from "../../../../src/netlink/netfilter/nftables.ts";
import { NftablesError } from "../../../../src/netlink/netfilter/refusal.ts";
import type { NftSet } from "../../../../src/netlink/netfilter/set.ts";
import { match } from "../../../../src/netlink/netfilter/statements/match.ts";
import { masquerade } from "../../../../src/netlink/netfilter/statements/nat.ts";
import { verdict } from "../../../../src/netlink/netfilter/statements/verdict.ts";
import type { Table } from "../../../../src/netlink/netfilter/table.ts";
import { SyscallError } from "../../../../src/sys/errno.ts";
import { ack, FakeKernel, refusal, replay } from "../../../support/fake-kernel.ts";
import { splitMessages, toHex, vector, type WireMessage } from "../../../support/hex.ts";

const table: Table = { family: "inet", name: "podlink" };
const hairpin: NftSet = { table, name: "hairpin4", key: ["ipv4_addr", "ipv4_addr"] };
const ACK = 0x4;
const [EPERM, ENOENT, EEXIST, ERESTART, EOPNOTSUPP, ENOBUFS] = [1, 2, 17, 85, 95, 105] as const;

function batchOf(...fills: ((batch: Batch) => void)[]): Batch {
  const batch = new Batch();
  for (const fill of fills) fill(batch);
  return batch;
}

const three = () =>
  batchOf(
    (batch) => batch.addTable(table),
    (batch) => batch.addChain({ table, name: "one" }),
    (batch) => batch.addChain({ table, name: "two" }),
  );

/** A kernel that refuses some messages, by their types, and answers as nfnetlink does: refusals and the acks asked for, in order. */
function kernelRefusing(refusals: (request: WireMessage, count: number) => number | undefined): FakeKernel {
  return new FakeKernel((request, count) => {
    const errno = refusals(request, count);
    if (errno !== undefined) return [refusal(request, errno)];
    return (request.flags & ACK) === 0 ? [] : [ack(request)];
  });
}

function errorOf(work: () => unknown): NftablesError {
  try {
    work();
  } catch (error) {
    if (error instanceof NftablesError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("commit", () => {
  it("sends one datagram: begin, the operations in order, end, and asks for one ack", () => {
    const kernel = kernelRefusing(() => undefined);
    const sent: Uint8Array[] = [];
    const nftables = new Nftables({
      send(bytes) {
        sent.push(bytes);
        kernel.send(bytes);
      },
      receive: (timeout) => kernel.receive(timeout),
      [Symbol.dispose]() {},
    });
    nftables.commit(three());
    expect(sent).toHaveLength(1);
    expect(kernel.requests.map(({ type, flags, sequence }) => [type, flags, sequence])).toEqual([
      [NFNL_BATCH.BEGIN.number, 0x1, 1],
      [NFT.NEWTABLE.number, 0x401, 2],
      [NFT.NEWCHAIN.number, 0x401, 3],
      [NFT.NEWCHAIN.number, 0x405, 4],
      [NFNL_BATCH.END.number, 0x1, 5],
    ]);
  });

  it("writes begin and end in the bytes of nft", () => {
    const kernel = kernelRefusing(() => undefined);
    new Nftables(kernel).commit(three());
    const theirs = splitMessages(vector("nftables.hex", "add table"));
    expect([kernel.requests.at(0), kernel.requests.at(-1)].map((request) => toHex(request?.body ?? new Uint8Array()))).toEqual(
      [theirs.at(0), theirs.at(-1)].map((request) => toHex(request?.body ?? new Uint8Array())),
    );
  });

  it("sends nothing for an empty batch", () => {
    const kernel = kernelRefusing(() => undefined);
    new Nftables(kernel).commit(new Batch());
    expect(kernel.requests).toEqual([]);
  });

  it("names the first operation that was refused", () => {
    const kernel = kernelRefusing((request) => (request.type === NFT.NEWCHAIN.number ? EEXIST : undefined));
    const error = errorOf(() => new Nftables(kernel).commit(three()));
    expect(error.message).toBe("nft add chain inet podlink one: File exists (EEXIST)");
    expect(error).toMatchObject({ code: "EEXIST", errno: EEXIST, command: "add chain inet podlink one" });
  });

  it("goes on with the next batch after a refusal, and with other requests", () => {
    let refused = false;
    const kernel = kernelRefusing((request) => {
      if (refused || request.type !== NFT.NEWTABLE.number) return undefined;
      refused = true;
      return EEXIST;
    });
    const nftables = new Nftables(kernel);
    expect(() => nftables.commit(three())).toThrow("EEXIST");
    expect(nftables.commit(three())).toBeUndefined();
  });

  it("says what the batch as a whole was refused for", () => {
    const kernel = kernelRefusing((request) => (request.type === NFNL_BATCH.BEGIN.number ? EPERM : undefined));
    expect(errorOf(() => new Nftables(kernel).commit(three())).message).toBe(
      "NFNL_MSG_BATCH_BEGIN: Operation not permitted (EPERM)",
    );
  });

  it("names the element that the captured refusal is about", () => {
    const batch = batchOf((each) =>
      each.addElements(hairpin, [{ key: ["10.244.1.7", "10.244.1.7"] }, { key: ["10.244.1.5", "10.244.1.5"] }], {
        exclusive: true,
      }),
    );
    const kernel = new FakeKernel((request) =>
      request.type === NFT.NEWSETELEM.number ? [replay(request, vector("nftables.hex", "refused: element is there"))] : [],
    );
    expect(errorOf(() => new Nftables(kernel).commit(batch)).message).toBe(
      "nft create element inet podlink hairpin4 { 10.244.1.7 . 10.244.1.7, 10.244.1.5 . 10.244.1.5 }: File exists (EEXIST): at element 2",
    );
  });

  it("shortens the command of a large operation", () => {
    const elements = Array.from({ length: 100 }, (_, at) => ({ key: ["10.0.0.1", `10.0.0.${at}`] }));
    const kernel = kernelRefusing((request) => (request.type === NFT.NEWSETELEM.number ? EEXIST : undefined));
    const error = errorOf(() => new Nftables(kernel).commit(batchOf((each) => each.addElements(hairpin, elements))));
    expect(error.message).toMatch(/^nft add element inet podlink hairpin4 \{ 10\.0\.0\.1 .{200,300}…: File exists \(EEXIST\)$/);
  });

  it("reports the first refusal where the socket could not hold all of them", () => {
    const kernel = kernelRefusing((request) => (request.type === NFT.NEWCHAIN.number ? EEXIST : undefined));
    let overrun = true;
    const nftables = new Nftables({
      send: (bytes) => kernel.send(bytes),
      receive(timeout) {
        if (!overrun) return kernel.receive(timeout);
        overrun = false;
        throw new SyscallError("recv", ENOBUFS);
      },
      [Symbol.dispose]() {},
    });
    expect(errorOf(() => nftables.commit(three())).command).toBe("add chain inet podlink one");
  });

  it("does not take silence for success", () => {
    expect(() => new Nftables(new FakeKernel(() => [])).commit(three())).toThrow("NFNL_MSG_BATCH_BEGIN: no answer");
  });
});

describe("what may be absent", () => {
  const gone = (batch: Batch) => batch.deleteElements(hairpin, [{ key: ["10.0.0.1", "10.0.0.1"] }], { ifPresent: true });

  it("leaves the batch where it is so, and the rest goes through", () => {
    const kernel = kernelRefusing((request) => (request.type === NFT.DELSETELEM.number ? ENOENT : undefined));
    new Nftables(kernel).commit(batchOf(gone, (batch) => batch.addTable(table), gone));
    expect(kernel.requests.map(({ type }) => type)).toEqual([
      ...[NFNL_BATCH.BEGIN, NFT.DELSETELEM, NFT.NEWTABLE, NFT.DELSETELEM, NFNL_BATCH.END].map(({ number }) => number),
      ...[NFNL_BATCH.BEGIN, NFT.NEWTABLE, NFNL_BATCH.END].map(({ number }) => number),
    ]);
  });

  it("is no reason to send an empty batch", () => {
    const kernel = kernelRefusing((request) => (request.type === NFT.DELSETELEM.number ? ENOENT : undefined));
    new Nftables(kernel).commit(batchOf(gone));
    expect(kernel.requests).toHaveLength(3);
  });

  it("excuses no other refusal, of the same operation or another", () => {
    const forbidden = kernelRefusing((request) => (request.type === NFT.DELSETELEM.number ? EPERM : undefined));
    expect(errorOf(() => new Nftables(forbidden).commit(batchOf(gone))).code).toBe("EPERM");
    const mixed = kernelRefusing((request) => ({ [NFT.DELSETELEM.number]: ENOENT, [NFT.NEWTABLE.number]: EEXIST })[request.type]);
    const error = errorOf(() => new Nftables(mixed).commit(batchOf(gone, (batch) => batch.addTable(table))));
    expect(error.message).toBe("nft add table inet podlink: File exists (EEXIST)");
    const plain = kernelRefusing((request) => (request.type === NFT.DELTABLE.number ? ENOENT : undefined));
    expect(errorOf(() => new Nftables(plain).commit(batchOf((batch) => batch.deleteTable(table)))).code).toBe("ENOENT");
  });

  it("is asked for element by element, since one that is absent fails its message", () => {
    const elements = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map((address) => ({ key: [address, address] }));
    expect(batchOf((batch) => batch.deleteElements(hairpin, elements, { ifPresent: true })).operations).toHaveLength(3);
    expect(batchOf((batch) => batch.deleteElements(hairpin, elements)).operations).toHaveLength(1);
  });
});

describe("a kernel without the module", () => {
  /** The refusal of the message's attribute at `offset`. */
  function refusingAt(type: number, options: { errno: number; offset: number }): FakeKernel {
    return new FakeKernel((request) => {
      if (request.type !== type) return [];
      const answer = Buffer.from(refusal(request, options.errno));
      answer.writeUInt16LE(answer.readUInt16LE(6) | 0x200, 6); // NLM_F_ACK_TLVS
      answer.writeUInt32LE(answer.length + 8, 0);
      const offset = Buffer.alloc(8);
      offset.writeUInt16LE(8, 0);
      offset.writeUInt16LE(2, 2); // NLMSGERR_ATTR_OFFS
      offset.writeUInt32LE(options.offset, 4);
      return [Buffer.concat([answer, offset])];
    });
  }

  /** Where in the message the text stands. */
  function offsetOf(batch: Batch, text: string): number {
    return 16 + Buffer.from(batch.operations.at(-1)?.request.body ?? []).indexOf(text);
  }

  it.each<{ of: Table; statement: ReturnType<typeof match>; name: string; hint: string }>([
    { of: table, statement: match("fib daddr type", "local"), name: "fib", hint: "CONFIG_NFT_FIB_INET" },
    { of: { family: "ip6", name: "x" }, statement: match("fib daddr type", "local"), name: "fib", hint: "CONFIG_NFT_FIB_IPV6" },
    { of: table, statement: masquerade(), name: "masq", hint: "CONFIG_NFT_MASQ" },
    { of: table, statement: match("ct direction", "original"), name: "ct", hint: "CONFIG_NFT_CT" },
  ])("names $hint for $name in $of.family", ({ of, statement, name, hint }) => {
    const batch = batchOf((each) =>
      each.addRule({ table: of, chain: "c", statements: [match("iifname", "lo"), statement, verdict("drop")] }),
    );
    const kernel = refusingAt(NFT.NEWRULE.number, { errno: ENOENT, offset: offsetOf(batch, `${name}\0`) });
    expect(errorOf(() => new Nftables(kernel).commit(batch)).message).toMatch(
      new RegExp(`: No such file or directory \\(ENOENT\\): at expression 3, ${name}: the kernel may lack ${hint}$`),
    );
  });

  it.each([
    {
      fill: (batch: Batch) => batch.addTable({ family: "bridge", name: "x" }),
      type: NFT.NEWTABLE,
      hint: "CONFIG_NF_TABLES_BRIDGE",
    },
    {
      fill: (batch: Batch) => batch.addChain({ table, name: "x", base: { type: "nat", hook: "output", priority: -100 } }),
      type: NFT.NEWCHAIN,
      hint: "CONFIG_NFT_NAT",
    },
    { fill: (batch: Batch) => batch.addTable(table), type: NFNL_BATCH.BEGIN, hint: "CONFIG_NF_TABLES" },
  ])("names $hint for $type.kernelName", ({ fill, type, hint }) => {
    const kernel = kernelRefusing((request) => (request.type === type.number ? EOPNOTSUPP : undefined));
    expect(errorOf(() => new Nftables(kernel).commit(batchOf(fill))).message).toMatch(
      new RegExp(`the kernel may lack .*${hint}$`),
    );
  });

  it("says nothing of modules where that is not the reason", () => {
    const kernel = kernelRefusing((request) => (request.type === NFT.NEWTABLE.number ? EEXIST : undefined));
    expect(errorOf(() => new Nftables(kernel).commit(three())).message).toBe("nft add table inet podlink: File exists (EEXIST)");
  });
});

describe("transaction", () => {
  function kernelAtGeneration(restarts: number): FakeKernel {
    let left = restarts;
    return new FakeKernel((request) => {
      if (request.type === NFT.GETGEN.number) {
        return [replay(request, vector("nftables.hex", "answer: generation")), ack(request)];
      }
      if (request.type === NFNL_BATCH.BEGIN.number && left-- > 0) return [refusal(request, ERESTART)];
      return (request.flags & ACK) === 0 || left >= 0 ? [] : [ack(request)];
    });
  }

  it("begins the batch with the generation that was read", () => {
    const kernel = kernelAtGeneration(0);
    const nftables = new Nftables(kernel);
    const generation = nftables.generation();
    nftables.transaction(three);
    const begin = kernel.requests.find(({ type }) => type === NFNL_BATCH.BEGIN.number);
    const number = generation.toString(16).padStart(8, "0");
    expect(toHex(begin?.body ?? new Uint8Array())).toBe(`0000000a08000100${number}`);
  });

  it("decides again when somebody changed something in between", () => {
    const kernel = kernelAtGeneration(2);
    let built = 0;
    new Nftables(kernel).transaction(() => {
      built++;
      return three();
    });
    expect(built).toBe(3);
    expect(kernel.requests.filter(({ type }) => type === NFT.GETGEN.number)).toHaveLength(3);
  });

  it("gives up when that never ends", () => {
    const kernel = kernelAtGeneration(1_000);
    expect(errorOf(() => new Nftables(kernel).transaction(three)).code).toBe("ERESTART");
  });

  it("sends nothing when there is nothing to change", () => {
    const kernel = kernelAtGeneration(0);
    new Nftables(kernel).transaction(() => new Batch());
    expect(kernel.requests.map(({ type }) => type)).toEqual([NFT.GETGEN.number]);
  });
});
