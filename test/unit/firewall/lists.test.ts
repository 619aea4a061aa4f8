import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { fromEither, type Item, Lists, listMap, toEither } from "../../../src/firewall/lists.ts";
import { keyText } from "../../../src/firewall/owned.ts";
import { Address } from "../../../src/ip/address.ts";
import type { NetworkNamespace } from "../../../src/link/namespace.ts";
import type { Batch } from "../../../src/netlink/netfilter/batch.ts";
import type { Element, ElementPlace } from "../../../src/netlink/netfilter/element.ts";
import type { NftSet } from "../../../src/netlink/netfilter/set.ts";

const map = listMap("ports", { key: ["ifname"], item: ["inet_service"], comment: "numbers" });

/** The one map there is, as strict as the kernel: what is there goes before it is made anew. */
class FakeMap {
  readonly elements = new Map<string, Element>();

  readonly host = {
    nftables: { find: (places: readonly ElementPlace[]) => places.map(({ key }) => this.elements.get(keyText(key))) },
  } as unknown as NetworkNamespace;

  change(work: (lists: Lists) => void): void {
    const lists = new Lists(this.host, map);
    work(lists);
    const batch = {
      addTable() {},
      addSet() {},
      addElements: (_set: NftSet, elements: readonly Element[]) => {
        for (const element of elements) {
          expect(this.elements.has(keyText(element.key)), keyText(element.key)).toBe(false);
          this.elements.set(keyText(element.key), element);
        }
      },
      deleteElements: (_set: NftSet, elements: readonly Element[]) => {
        for (const { key } of elements) expect(this.elements.delete(keyText(key)), keyText(key)).toBe(true);
      },
    };
    lists.put(batch as unknown as Batch);
  }

  read(key: string): readonly Item[] | undefined {
    return new Lists(this.host, map).get([key]);
  }
}

describe("lists", () => {
  const key = fc.constantFrom("one", "two");
  const item = fc.integer({ min: 1, max: 6 });
  const step = fc.oneof(
    fc.record({ verb: fc.constant("add" as const), key, item }),
    fc.record({ verb: fc.constant("remove" as const), key, item }),
    fc.record({ verb: fc.constant("drop" as const), key, item }),
  );

  it("hold what was added and not taken off, in one call or several", () => {
    fc.assert(
      fc.property(fc.array(fc.array(step, { maxLength: 6 }), { maxLength: 8 }), (calls) => {
        const fake = new FakeMap();
        const model = new Map<string, Set<number>>();
        for (const steps of calls) {
          fake.change((lists) => {
            for (const { verb, ...each } of steps) {
              const known = model.get(each.key) ?? new Set<number>();
              if (verb === "add") lists.add([each.key], [each.item], { comment: each.key });
              else if (verb === "remove") lists.remove([each.key], [each.item]);
              else lists.drop([each.key]);
              if (verb === "add") known.add(each.item);
              else if (verb === "remove") known.delete(each.item);
              else known.clear();
              model.set(each.key, known);
              expect((lists.get([each.key]) ?? []).map(([value]) => Number(value)).sort()).toEqual([...known].sort());
            }
          });
          for (const [name, known] of model) {
            expect((fake.read(name) ?? []).map(([value]) => Number(value)).sort(), name).toEqual([...known].sort());
          }
          expect(fake.elements.size).toBe([...model.values()].reduce((sum, { size }) => sum + size, 0));
        }
      }),
    );
  });

  it("of which an element is missing count for none, and are made anew", () => {
    for (const at of [0, 1, 2]) {
      const fake = new FakeMap();
      fake.change((lists) => {
        for (const number of [1, 2, 3]) lists.add(["one"], [number]);
      });
      fake.elements.delete(`one . ${at}`.replace(/\w+/g, "$&-$&"));
      expect(fake.elements.size).toBe(2);
      expect(fake.read("one")).toBeUndefined();
      fake.change((lists) => {
        for (const number of [4, 5]) lists.add(["one"], [number]);
      });
      expect(fake.read("one")).toEqual([[4], [5]]);
    }
  });

  it("are read several at once, by few requests", () => {
    const fake = new FakeMap();
    fake.change((lists) => {
      for (const key of ["one", "two"]) for (const number of [1, 2, 3]) lists.add([key], [number]);
    });
    const find = vi.spyOn(fake.host.nftables, "find");
    const lists = new Lists(fake.host, map);
    lists.load([["one"], ["two"], ["three"]]);
    expect(find.mock.calls.map(([places]) => places.length)).toEqual([3, 4]); // the first of each, then the rest
    lists.load([["one"], ["three"]]);
    expect(["one", "two", "three"].map((key) => lists.get([key])?.length)).toEqual([3, 3, undefined]);
    expect(find.mock.calls.flatMap(([places]) => places)).toHaveLength(7);
  });

  it("tell what is not on them", () => {
    const fake = new FakeMap();
    fake.change((lists) => lists.add(["one"], [1]));
    const lists = new Lists(fake.host, map);
    expect(() => lists.expect(["one"], [1])).not.toThrow();
    expect(() => lists.expect(["one"], [2])).toThrow('map "inet podlink ports" does not have it for one');
    expect(() => lists.expect(["two"], [1])).toThrow("does not have it for two");
  });

  it("hold addresses of both families", () => {
    for (const text of ["10.91.0.2", "0.0.0.0", "255.255.255.255", "::", "fd00:91::2"]) {
      const address = Address.parse(text);
      expect(toEither(address).family).toBe(6);
      expect(String(fromEither(toEither(address)))).toBe(text);
    }
    expect(() => fromEither("tcp")).toThrow('"tcp" is not an address');
  });
});
