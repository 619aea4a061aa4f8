import { describe, expect, it, vi } from "vitest";
import { FileLock } from "../../src/sys/file-lock.ts";
import { Bench, bridgeNetwork } from "../support/attach.ts";
import { supports } from "../support/kernel-features.ts";

// Types that share something out inside a container's namespace lock it. Time passes in leaps here, so that nobody waits.

vi.mock("../../src/support/clock.ts", () => {
  let time = 0;
  return { now: () => (time += 60_000) };
});

const bench = new Bench();
const types = [
  { type: "sbr", config: {} },
  { type: "vrf", config: { vrfname: "red" } },
];

describe.each(types)("$type, while somebody else has the namespace's lock", ({ type, config }) => {
  it.each(["ADD", "DEL"])("%s changes nothing and says that it is worth another try", (command) => {
    const { sandbox, who, result } = bench.attach(bridgeNetwork());
    const request = { ...who, type, config: { cniVersion: "1.1.0", name: "net1", type, ...config, prevResult: result } };
    const before = sandbox.snapshot();
    {
      using held = FileLock.acquireExisting(sandbox.path, { name: "the namespace", timeoutMs: 0 });
      expect(held).toBeInstanceOf(FileLock);
      const { code, msg, steps } = bench.caller.fail({ ...request, command });
      expect({ code, steps }).toEqual({ code: 11, steps: [] });
      expect(msg).toContain(`Cannot lock "${sandbox.path}": still held by another process after 10000 ms`);
      expect(sandbox.snapshot()).toEqual(before);
    }
    const works = command === "DEL" || type !== "vrf" || supports("vrf");
    expect(bench.caller.call({ ...request, command }).exitCode).toBe(works ? 0 : 1);
  });
});
