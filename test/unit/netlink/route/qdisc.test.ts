import { describe, expect, it } from "vitest";
import { handleOf, type QdiscMessage, qdiscMessage, TC_H, TC_LINKLAYER_ETHERNET } from "../../../../src/netlink/route/qdisc.ts";
import { bodyOf, hex, splitMessages, toHex, vector } from "../../../support/hex.ts";

const FILE = "qdiscs.hex";

const plain: readonly { name: string; message: Partial<QdiscMessage> }[] = [
  { name: "add ingress", message: { index: 3, handle: handleOf(0xffff), parent: TC_H.INGRESS, kind: "ingress" } },
  { name: "add clsact", message: { index: 2, handle: handleOf(0xffff), parent: TC_H.INGRESS, kind: "clsact" } },
  { name: "delete root", message: { index: 3, parent: TC_H.ROOT } },
  { name: "delete ingress", message: { index: 3, handle: handleOf(0xffff), parent: TC_H.INGRESS, kind: "ingress" } },
];

// tc gives the table too; cell log and alignment are of the table
const table = { cellLog: 3, linkLayer: TC_LINKLAYER_ETHERNET, cellAlign: 0xffff };

const buckets: readonly { name: string; index: number; parameters: object; options: object }[] = [
  {
    name: "add tbf",
    index: 3,
    parameters: { ...table, rate: 1_000_000, limit: 125_000, buffer: 1_562_500 },
    options: { burst: 100_000 },
  },
  {
    name: "add tbf above 4 GB/s",
    index: 4,
    parameters: { ...table, rate: 0xffffffff, limit: 254_000_000 },
    options: { burst: 4_000_000, rate64: 10_000_000_000n },
  },
];

describe("qdiscs", () => {
  it.each(plain)("$name: the bytes of tc", ({ name, message }) => {
    expect(toHex(qdiscMessage.encode(message))).toBe(toHex(bodyOf(FILE, name)));
    expect(qdiscMessage.decode(bodyOf(FILE, name))).toMatchObject(message);
  });

  it.each(buckets)("$name: the bytes of tc but for NLA_F_NESTED", ({ name, index, parameters, options }) => {
    const theirs = bodyOf(FILE, name);
    const read = qdiscMessage.decode(theirs);
    expect(read).toMatchObject({
      index,
      handle: handleOf(1),
      parent: TC_H.ROOT,
      kind: "tbf",
      options: { ...options, parameters },
    });
    const rateTable = theirs.subarray(-1024); // the last attribute
    const body = { index, handle: handleOf(1), parent: TC_H.ROOT, kind: "tbf" };
    const { buffer } = (read.options as { parameters: { buffer: number } }).parameters; // of the second, tc computes it from the burst
    const ours = qdiscMessage.encode({ ...body, options: { ...options, parameters: { ...parameters, buffer }, rateTable } });
    expect(toHex(ours).replace("0280", "0200")).toBe(toHex(theirs));
  });

  it("reads the kernel's list", () => {
    const list = splitMessages(vector(FILE, "dump")).map(({ body }) => qdiscMessage.decode(body));
    const told = list.map(({ index, handle, parent, kind }) => ({ index, handle, parent, kind }));
    expect(told).toEqual([
      { index: 2, handle: 0, parent: TC_H.ROOT, kind: "noqueue" },
      { index: 2, handle: handleOf(0xffff), parent: TC_H.INGRESS, kind: "clsact" },
      { index: 3, handle: handleOf(1), parent: TC_H.ROOT, kind: "tbf" },
      { index: 3, handle: handleOf(0xffff), parent: TC_H.INGRESS, kind: "ingress" },
      { index: 4, handle: handleOf(1), parent: TC_H.ROOT, kind: "tbf" },
    ]);
    expect(list[2]?.options).toMatchObject({ parameters: { rate: 1_000_000, limit: 125_000, buffer: 1_562_500 } });
    expect(list[4]?.options).toMatchObject({ parameters: { rate: 0xffffffff, limit: 254_000_000 }, rate64: 10_000_000_000n });
    for (const message of list) expect(qdiscMessage.decode(qdiscMessage.encode(message))).toEqual(message);
  });

  it("names TCA_TBF_PARMS that are too short", () => {
    const header = "00000000 03000000 00000100 ffffffff 00000000 0800 0100 74626600";
    expect(() => qdiscMessage.decode(hex(`${header} 0c00 0200 0800 0100 03010000`))).toThrow(
      new RangeError("Cannot decode TCA_OPTIONS: Cannot decode TCA_TBF_PARMS: 0 bytes, expected 2"),
    );
  });
});
