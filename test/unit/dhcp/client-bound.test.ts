import { describe, expect, it } from "vitest";
import type { Lease } from "../../../src/dhcp/lease.ts";
import { hex } from "../../support/hex.ts";
import { Driver } from "./driver.ts";

const RENEW = "REQUEST of 10.9.0.53 from 10.9.0.53 to 10.9.0.1";
const REBIND = "REQUEST of 10.9.0.53 from 10.9.0.53 to all";
const VERIFY = "REQUEST for 10.9.0.53 from 0.0.0.0 to all";
const DISCOVER = "DISCOVER from 0.0.0.0 to all";
const AGAIN = "DISCOVER for 10.9.0.53 from 0.0.0.0 to all";

function leaseOf(driver: Driver): Lease {
  if (driver.client.lease === undefined) throw new Error("no lease");
  return driver.client.lease;
}

describe("a client with a lease", () => {
  it("renews it at T1 with its server, and again at the next T1", () => {
    const driver = new Driver().bind();
    for (let round = 0; round < 3; round++) {
      expect(driver.wait).toBe(60);
      expect(driver.expire()).toEqual([RENEW]);
      expect(driver.client.state).toBe("renewing");
      expect(driver.sent?.secs).toBe(0);
      expect(driver.answer("ACK")).toEqual(["bound 10.9.0.53/24"]);
      expect(leaseOf(driver).startsAt).toBe(driver.now);
    }
  });

  it("asks every server from T2 on, and loses the lease at its end, when it looks for another one without ever giving up", () => {
    const driver = new Driver({ random: () => 0.5 }).bind({ "dhcp-lease-time": 7200 });
    expect(driver.pass(7200)).toEqual([
      `3600: ${RENEW}`,
      `4950: ${RENEW}`,
      `5625: ${RENEW}`,
      `5962.5: ${RENEW}`,
      `6131.25: ${RENEW}`,
      `6215.63: ${RENEW}`,
      `6275.63: ${RENEW}`,
      `6300: ${REBIND}`,
      `6750: ${REBIND}`,
      `6975: ${REBIND}`,
      `7087.5: ${REBIND}`,
      `7147.5: ${REBIND}`,
      `7200: lost 10.9.0.53/24: it ended and no server renewed it, ${AGAIN}`,
    ]);
    expect(driver.client.lease).toBeUndefined();
    const later = driver.pass(3600);
    expect(later.slice(0, 3)).toEqual([`2: ${AGAIN}`, `4: ${AGAIN}`, `6: ${AGAIN}`]);
    expect(later).toHaveLength(64);
    driver.answer("OFFER");
    expect(driver.answer("ACK")).toEqual(["bound 10.9.0.53/24 instead of none"]);
  });

  it("of ten seconds renews it just as sensibly", () => {
    const driver = new Driver().bind({ "dhcp-lease-time": 10 });
    expect(driver.pass(10).slice(0, -1)).toEqual([
      `5: ${RENEW}`,
      `6.88: ${RENEW}`,
      `7.81: ${RENEW}`,
      `8.75: ${REBIND}`,
      `9.38: ${REBIND}`,
      `9.69: ${REBIND}`,
    ]);
  });

  it("of two seconds sends no flood", () => {
    const driver = new Driver().bind({ "dhcp-lease-time": 2 });
    expect(driver.pass(2).length).toBeLessThan(10);
    expect(driver.client.state).toBe("selecting");
  });

  it("keeps to the server's T1 and T2", () => {
    const driver = new Driver().bind({ "dhcp-renewal-time": 10, "dhcp-rebinding-time": 10 });
    expect(driver.wait).toBe(10);
    expect(driver.expire()).toEqual([REBIND]);
  });

  it("without end does nothing any more, but gives it back", () => {
    const driver = new Driver().bind({ "dhcp-lease-time": 0xffffffff });
    expect(driver.client.deadline).toBeUndefined();
    driver.now += 1e12;
    expect(driver.handle({ kind: "deadline" })).toEqual([]);
    expect(driver.handle({ kind: "carrier" })).toEqual([VERIFY]);
    expect(driver.answer("ACK")).toEqual(["bound 10.9.0.53/24"]);
    expect(driver.handle({ kind: "release" })).toHaveLength(1);
  });

  it("takes another address, or other routes, from whoever renews it", () => {
    const driver = new Driver().bind();
    driver.pass(110);
    expect(driver.client.state).toBe("rebinding");
    const values = { "dhcp-server-identifier": "10.9.0.2" };
    expect(driver.answer("ACK", { values, yiaddr: "10.9.0.99" })).toEqual(["bound 10.9.0.99/24 instead of 10.9.0.53/24"]);
    expect(driver.expire()).toEqual(["REQUEST of 10.9.0.99 from 10.9.0.99 to 10.9.0.2"]);
    const routes = { ...values, "classless-static-routes": hex("08 0a 0a090001") };
    expect(driver.answer("ACK", { values: routes, yiaddr: "10.9.0.99" })).toEqual(["bound 10.9.0.99/24 instead of 10.9.0.99/24"]);
  });

  it.each([
    ["renewing", 70],
    ["rebinding", 110],
  ])("that is refused while %s loses it and starts anew, without wish", (state, seconds) => {
    const driver = new Driver().bind();
    driver.pass(seconds);
    expect(driver.client.state).toBe(state);
    expect(driver.answer("NAK", { values: { "dhcp-message": Buffer.from("gone") } })).toEqual([
      'lost 10.9.0.53/24: server 10.9.0.1 refused 10.9.0.53: "gone"',
      DISCOVER,
    ]);
    expect(driver.client.lease).toBeUndefined();
  });

  it("hears no answers that it did not ask for", () => {
    const driver = new Driver().bind();
    const first = driver.sent?.xid ?? 0;
    expect(driver.answer("NAK")).toEqual([]);
    expect(driver.answer("ACK")).toEqual([]);
    driver.expire();
    expect(driver.sent?.xid).not.toBe(first);
    expect(driver.answer("NAK", { xid: first })).toEqual([]);
    expect(driver.answer("OFFER")).toEqual(["ignored: OFFER: not expected while renewing"]);
    expect(driver.answer("ACK", { values: { "subnet-mask": "255.0.255.0" } })).toEqual([
      "ignored: ACK: subnet mask 255.0.255.0 is no mask",
    ]);
    expect(driver.client.state).toBe("renewing");
    expect(driver.answer("ACK")).toEqual(["bound 10.9.0.53/24"]);
  });

  it("hears a server that takes longer to answer than it waits, also beyond T2", () => {
    const driver = new Driver().bind({ "dhcp-lease-time": 4 });
    driver.expire();
    const asked = driver.sent?.xid ?? 0;
    driver.pass(1.7);
    expect(driver.client.state).toBe("rebinding");
    expect(driver.sent?.secs).toBe(1);
    expect(driver.answer("ACK", { xid: asked })).toEqual(["bound 10.9.0.53/24"]);
  });

  it("takes an ACK that comes after the end of what it confirms for none", () => {
    const driver = new Driver().bind();
    driver.expire();
    driver.now += 200_000;
    expect(driver.answer("ACK")).toEqual(["ignored: ACK: its lease is over already"]);
    expect(driver.handle({ kind: "deadline" })).toEqual(["lost 10.9.0.53/24: it ended and no server renewed it", AGAIN]);
  });

  it("wakes up late to what is due by then", () => {
    const rebinding = new Driver().bind();
    rebinding.now += 106_000;
    expect(rebinding.handle({ kind: "deadline" })).toEqual([REBIND]);
    const late = new Driver().bind();
    late.now += 121_000;
    expect(late.handle({ kind: "deadline" })).toEqual(["lost 10.9.0.53/24: it ended and no server renewed it", AGAIN]);
  });

  it("verifies it when carrier comes: confirmed, refused, or used on when nobody answers", () => {
    const driver = new Driver({ random: () => 0.5 }).bind();
    driver.now += 1000;
    expect(driver.handle({ kind: "carrier" })).toEqual([VERIFY]);
    expect(driver.client.state).toBe("rebooting");
    expect(driver.sent?.secs).toBe(0);
    expect(driver.answer("ACK")).toEqual(["bound 10.9.0.53/24"]);
    driver.handle({ kind: "carrier" });
    expect(driver.pass(30)).toEqual([...[2, 4, 6, 8].map((second) => `${second}: ${VERIFY}`), "10: "]);
    expect(driver.client.state).toBe("bound");
    expect(driver.wait).toBe(30);
    driver.handle({ kind: "carrier" });
    const values = { "dhcp-server-identifier": "10.9.0.2" };
    expect(driver.answer("NAK", { values })).toEqual(["lost 10.9.0.53/24: server 10.9.0.2 refused 10.9.0.53", DISCOVER]);
  });

  it("that ends while it is verified is lost", () => {
    const driver = new Driver().bind({ "dhcp-lease-time": 4 });
    driver.handle({ kind: "carrier" });
    expect(driver.pass(4).at(-1)).toBe(`4: lost 10.9.0.53/24: it ended and no server renewed it, ${AGAIN}`);
  });

  it("gives it back to its server, without options that a RELEASE must not have", () => {
    const driver = new Driver({ provide: new Map([[12, hex("61")]]), broadcast: true }).bind();
    driver.pass(110);
    expect(driver.handle({ kind: "release" })).toEqual(["RELEASE of 10.9.0.53 server 10.9.0.1 from 10.9.0.53 to 10.9.0.1"]);
    expect([...(driver.sent?.options.keys() ?? [])]).toEqual([53, 54, 61]);
    expect(driver.sent?.broadcast).toBe(false);
    expect(driver.client.state).toBe("released");
    expect(driver.client.deadline).toBeUndefined();
    expect(driver.handle({ kind: "release" })).toEqual([]);
    expect(driver.answer("ACK")).toEqual([]);
  });

  it("whose link goes has lost it, and looks for no other", () => {
    const driver = new Driver().bind();
    expect(driver.handle({ kind: "link-gone" })).toEqual(["lost 10.9.0.53/24: the link is gone"]);
    expect(driver.client.state).toBe("gone");
    expect(driver.client.deadline).toBeUndefined();
  });
});

describe("a client that is given the lease of an earlier run", () => {
  const before = new Driver().bind();
  const lease = leaseOf(before);

  it.each([
    [0, "bound", ["bound 10.9.0.53/24"], 60],
    [30, "bound", ["bound 10.9.0.53/24"], 30],
    [60, "renewing", ["bound 10.9.0.53/24", RENEW], 22.5],
    [106, "rebinding", ["bound 10.9.0.53/24", REBIND], 7],
  ])("goes on after %i s: %s", (seconds, state, done, wait) => {
    const driver = new Driver({ previous: lease }, before.now + seconds * 1000);
    expect(driver.start()).toEqual(done);
    expect(driver.client.state).toBe(state);
    expect(driver.wait).toBe(wait);
    expect(driver.client.lease).toEqual(lease);
  });

  it("that is over loses it and asks for the same address", () => {
    const driver = new Driver({ previous: lease }, before.now + 120_000);
    expect(driver.start()).toEqual(["lost 10.9.0.53/24: it ended while nobody renewed it", AGAIN]);
    driver.answer("OFFER");
    expect(driver.answer("ACK")).toEqual(["bound 10.9.0.53/24 instead of none"]);
  });

  it("whose clock was set back asks a server, and uses it no longer than it was given", () => {
    const driver = new Driver({ previous: lease }, before.now - 3_600_000);
    expect(driver.start()).toEqual([VERIFY]);
    expect(driver.client.lease).toMatchObject({ startsAt: driver.now, expiresAt: driver.now + 120_000 });
    expect(driver.answer("ACK")).toEqual(["bound 10.9.0.53/24"]);
  });

  it("gives it back without being started: its container went while nobody was there", () => {
    const driver = new Driver({ previous: lease }, before.now + 30_000);
    expect(driver.handle({ kind: "release" })).toEqual(["RELEASE of 10.9.0.53 server 10.9.0.1 from 10.9.0.53 to 10.9.0.1"]);
    const late = new Driver({ previous: lease }, before.now + 130_000);
    expect(late.handle({ kind: "release" })).toEqual([]);
    expect(late.client.state).toBe("released");
  });
});
