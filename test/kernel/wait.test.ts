import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { beforeEach, describe, expect, it } from "vitest";
import { findLink, getLink, setLink } from "../../src/link/links.ts";
import { Sandbox } from "../../src/link/namespace.ts";
import { waitFor } from "../../src/link/wait.ts";
import { NetlinkConnection } from "../../src/netlink/connection.ts";
import { linkMessage } from "../../src/netlink/route/link.ts";
import { RTMGRP } from "../../src/netlink/route/message-types.ts";
import { NETLINK_ROUTE, NetlinkSocket } from "../../src/sys/socket.ts";
import { makeContainer } from "../support/namespaces.ts";
import { makePair, makeStage, type Stage } from "../support/stage.ts";

function openDescriptors(): string[] {
  return readdirSync("/proc/self/fd");
}

describe("NetlinkSocket", () => {
  it("hears nothing until something happens, and then what happened", () => {
    const { host } = makeStage();
    using events = new NetlinkConnection(NetlinkSocket.open(NETLINK_ROUTE, RTMGRP.LINK));
    expect(events.listen(0)).toBeUndefined();
    makePair(host, "va");
    const names: (string | undefined)[] = [];
    for (let batch = events.listen(1000); batch !== undefined && !names.includes("va"); batch = events.listen(1000)) {
      names.push(...batch.map(({ body }) => linkMessage.decode(body).name));
    }
    expect(names).toContain("va");
  });
});

describe("waitFor", () => {
  let stage: Stage;
  beforeEach(() => {
    stage = makeStage();
  });

  it("opens nothing when the first look finds it", () => {
    const before = openDescriptors().length;
    const found = waitFor(stage.host, { groups: RTMGRP.LINK, timeoutMs: 1000, look: () => openDescriptors().length });
    expect(found).toBe(before);
  });

  it("takes a value that is false or 0 for found", () => {
    expect(waitFor(stage.host, { groups: RTMGRP.LINK, timeoutMs: 1000, look: () => 0 })).toBe(0);
  });

  it("gives up at the deadline and closes its socket", () => {
    const before = openDescriptors().length;
    let looks = 0;
    const found = waitFor(stage.host, {
      groups: RTMGRP.LINK,
      timeoutMs: 20,
      look() {
        looks++;
        return undefined;
      },
    });
    expect(found).toBeUndefined();
    expect(looks).toBeGreaterThan(1); // once more after it began to listen
    expect(openDescriptors()).toHaveLength(before);
  });

  it("is woken by what another process does", async () => {
    const link = makePair(stage.host, "va");
    const child = spawn("sh", ["-c", "read go; ip link set va alias now"], { stdio: ["pipe", "inherit", "inherit"] });
    const closed = once(child, "close");
    child.stdin.end("go\n");
    await once(child.stdin, "finish");
    const found = waitFor(stage.host, {
      groups: RTMGRP.LINK,
      timeoutMs: 30_000,
      look: () => getLink(stage.host, link.index).alias,
    });
    expect(found).toBe("now");
    await closed;
  });

  it("hears of what happens in a container", () => {
    using sandbox = Sandbox.open(makeContainer(), stage.steps);
    let looks = 0;
    const found = waitFor(sandbox.container, {
      groups: RTMGRP.LINK,
      timeoutMs: 30_000,
      look() {
        if (++looks === 2) makePair(sandbox.container, "va"); // it listens by now
        return looks > 2 ? findLink(sandbox.container, "va") : undefined;
      },
    });
    expect(found).toMatchObject({ name: "va" });
  });

  it("looks again when there was more news than the socket could hold", () => {
    const link = makePair(stage.host, "va");
    let looks = 0;
    const found = waitFor(stage.host, {
      groups: RTMGRP.LINK,
      timeoutMs: 30_000,
      look() {
        looks++;
        if (looks === 2)
          for (let i = 0; i < 2000; i++) setLink(stage.host, link, { command: `alias ${i}`, message: { alias: String(i) } });
        return looks >= 3 ? getLink(stage.host, "va").alias : undefined;
      },
    });
    expect(found).toBe("1999");
  });
});
