import { describe, expect, it } from "vitest";
import { OPTION } from "../../../src/dhcp/option-codes.ts";
import { Address } from "../../../src/ip/address.ts";
import { hex, toHex } from "../../support/hex.ts";
import { CLIENT_ID, Driver } from "./driver.ts";

const DISCOVER = "DISCOVER from 0.0.0.0 to all";
const REQUEST = "REQUEST for 10.9.0.53 server 10.9.0.1 from 0.0.0.0 to all";

describe("a client without a lease", () => {
  it("discovers, takes the first offer and is bound", () => {
    const driver = new Driver();
    expect(driver.client.state).toBe("init");
    expect(driver.start()).toEqual([DISCOVER]);
    expect(driver.client.state).toBe("selecting");
    expect(driver.answer("OFFER")).toEqual([REQUEST]);
    expect(driver.client.state).toBe("requesting");
    expect(driver.answer("ACK")).toEqual(["bound 10.9.0.53/24 instead of none"]);
    expect(driver.client.state).toBe("bound");
    expect(driver.client.lease).toMatchObject({ startsAt: driver.now, expiresAt: driver.now + 120_000 });
    expect(driver.wait).toBe(60);
  });

  it("says in a DISCOVER who it is and what it wants", () => {
    const driver = new Driver({ provide: new Map([[12, hex("706f64")]]), request: [1, 121, 3], broadcast: true });
    driver.start();
    expect(driver.sent).toMatchObject({ op: "request", secs: 0, broadcast: true });
    expect([...(driver.sent?.options ?? [])].map(([code, value]) => `${code} ${toHex(value)}`)).toEqual([
      "53 01",
      `61 ${toHex(CLIENT_ID)}`,
      "57 05dc",
      "55 017903",
      "12 706f64",
    ]);
  });

  it("asks for no options when none are wanted, and for broadcast only when told", () => {
    const driver = new Driver({ request: [] });
    driver.start();
    expect(driver.sent?.options.has(OPTION["dhcp-parameter-request-list"])).toBe(false);
    expect(driver.sent?.broadcast).toBe(false);
  });

  it("wishes for the address of the configuration until it is offered one, and has its client id", () => {
    const provide = new Map([
      [OPTION["dhcp-requested-address"], hex("0a090005")],
      [OPTION["dhcp-client-identifier"], hex("6d65")],
    ]);
    const driver = new Driver({ provide });
    expect(driver.start()).toEqual(["DISCOVER for 10.9.0.5 from 0.0.0.0 to all"]);
    expect(toHex(driver.sent?.options.get(OPTION["dhcp-client-identifier"]) ?? new Uint8Array())).toBe("6d65");
    expect(driver.answer("OFFER")).toEqual([REQUEST]);
    driver.answer("ACK");
    expect(driver.expire()).toEqual(["REQUEST of 10.9.0.53 from 10.9.0.53 to 10.9.0.1"]);
  });

  it("repeats DISCOVER at growing intervals, then fails with the reason", () => {
    const driver = new Driver({ random: () => 0.5 });
    driver.start();
    const xid = driver.sent?.xid;
    const done = driver.pass(300);
    expect(done).toEqual([
      ...[2, 4, 6, 8, 12, 20, 36, 68, 130, 192].map((second) => `${second}: ${DISCOVER}`),
      "208: failed: no server answered (tried for 208 s)",
    ]);
    expect(driver.sent?.xid).toBe(xid);
    expect(driver.sent?.secs).toBe(192);
    expect(driver.client.state).toBe("failed");
    expect(driver.client.deadline).toBeUndefined();
    expect(driver.handle({ kind: "start" })).toEqual([]);
  });

  it("has the timing it is given", () => {
    const driver = new Driver({ random: () => 0.5, timing: { resendMax: 1000, resendTimeout: 3500 } });
    driver.start();
    expect(driver.pass(10)).toEqual([
      ...[1, 2, 3].map((second) => `${second}: ${DISCOVER}`),
      "3.5: failed: no server answered (tried for 3.5 s)",
    ]);
  });

  it("repeats REQUEST with its OFFER's xid and its DISCOVER's beginning, and starts anew when the server stays silent", () => {
    const driver = new Driver({ random: () => 0.5 });
    driver.start();
    const xid = driver.sent?.xid;
    driver.now += 1000;
    driver.answer("OFFER");
    expect(driver.pass(9)).toEqual([2, 4, 6, 8].map((second) => `${second}: ${REQUEST}`));
    expect(driver.sent).toMatchObject({ xid, secs: 9 });
    expect(driver.pass(1)).toEqual([`1: ${DISCOVER}`]);
    expect(driver.pass(300).at(-1)).toBe(
      "197: failed: server 10.9.0.1 offered 10.9.0.53 and did not answer the request for it (tried for 208 s)",
    );
  });

  it("counts a lease from the last REQUEST", () => {
    const driver = new Driver({ random: () => 0.5 });
    driver.start();
    driver.answer("OFFER");
    driver.pass(2);
    const requestedAt = driver.now;
    driver.now += 500;
    driver.answer("ACK");
    expect(driver.client.lease?.startsAt).toBe(requestedAt);
    expect(driver.wait).toBe(59.5);
  });

  it("tells among several servers the one it chose from the others", () => {
    const driver = new Driver();
    driver.start();
    driver.answer("OFFER", { values: { "dhcp-server-identifier": "10.9.0.2" }, yiaddr: "10.9.0.77" });
    const other = "server 10.9.0.1 was not asked";
    expect(driver.answer("OFFER")).toEqual(["ignored: OFFER: not expected while requesting"]);
    expect(driver.answer("NAK")).toEqual([`ignored: NAK: ${other}`]);
    expect(driver.answer("ACK")).toEqual([`ignored: ACK: ${other}`]);
    const values = { "dhcp-server-identifier": "10.9.0.2" };
    expect(driver.answer("ACK", { values, yiaddr: "10.9.0.77" })).toEqual(["bound 10.9.0.77/24 instead of none"]);
    expect(driver.client.lease?.server.toString()).toBe("10.9.0.2");
  });

  it("refused once tries at once, and refused again and again not at the network's speed", () => {
    const driver = new Driver({ random: () => 0.5 });
    driver.start();
    const refuse = (): string[] => {
      driver.answer("OFFER");
      return driver.answer("NAK", { values: { "dhcp-message": Buffer.from("wrong\nnet\0") } });
    };
    expect(refuse()).toEqual([DISCOVER]);
    expect(refuse()).toEqual([]);
    expect(driver.client.state).toBe("init");
    expect(driver.wait).toBe(2);
    expect(driver.expire()).toEqual([DISCOVER]);
    let refusals = 0;
    let done: string[] = [];
    while (driver.client.deadline !== undefined) {
      refuse();
      done = driver.expire();
      refusals++;
    }
    expect(done).toEqual(['failed: server 10.9.0.1 refused 10.9.0.53: "wrong\\nnet" (tried for 208 s)']);
    expect(refusals).toBeLessThan(12);
  });

  it("never takes what is another's, malformed or of no use", () => {
    const driver = new Driver();
    driver.start();
    expect(driver.answer("OFFER", { xid: 1 })).toEqual([]);
    expect(driver.answer("OFFER", { chaddr: Uint8Array.of(2, 0, 0, 0, 0, 1) })).toEqual([]);
    expect(driver.answer("OFFER", { op: "request" })).toEqual([]);
    expect(driver.answer("OFFER", { values: { "dhcp-client-identifier": hex("00") } })).toEqual([]);
    expect(driver.handle({ kind: "received", payload: hex("0102") })).toEqual(["ignored: a datagram that is no DHCP message"]);
    expect(driver.answer("ACK")).toEqual(["ignored: ACK: not expected while selecting"]);
    expect(driver.answer("OFFER", { yiaddr: "0.0.0.0" })).toEqual(["ignored: OFFER: address 0.0.0.0 is none of a host"]);
    const values = { "dhcp-message-type": hex("09") };
    expect(driver.answer("OFFER", { values })).toEqual(["ignored: BOOTP reply: not expected while selecting"]);
    expect(driver.client.state).toBe("selecting");
    expect(driver.answer("OFFER", { values: { "dhcp-client-identifier": CLIENT_ID } })).toEqual([REQUEST]);
    expect(driver.answer("ACK", { values: { "dhcp-lease-time": 0 } })).toEqual(["ignored: ACK: lease time 0"]);
    expect(driver.answer("ACK")).toEqual(["bound 10.9.0.53/24 instead of none"]);
  });

  it("takes an ACK that leaves out its server for the chosen one's", () => {
    const driver = new Driver();
    driver.start();
    driver.answer("OFFER");
    driver.answer("ACK", { values: { "dhcp-server-identifier": undefined } });
    expect(driver.client.lease?.server.equals(Address.parse("10.9.0.1"))).toBe(true);
  });

  it("tries at once when carrier comes", () => {
    const driver = new Driver({ random: () => 0.5 });
    expect(driver.handle({ kind: "carrier" })).toEqual([]);
    driver.start();
    driver.pass(40);
    expect(driver.handle({ kind: "carrier" })).toEqual([DISCOVER]);
    expect(driver.wait).toBe(2);
    driver.answer("OFFER");
    expect(driver.handle({ kind: "carrier" })).toEqual([REQUEST]);
  });

  it("does nothing before it is started, at a deadline that is not reached, or when started twice", () => {
    const driver = new Driver();
    expect(driver.handle({ kind: "deadline" })).toEqual([]);
    driver.start();
    expect(driver.handle({ kind: "deadline" })).toEqual([]);
    expect(driver.start()).toEqual([]);
  });

  it("that is let go has nothing to give back, but for an address it asked for", () => {
    const driver = new Driver();
    driver.start();
    expect(driver.handle({ kind: "release" })).toEqual([]);
    expect(driver.client.state).toBe("released");
    const requesting = new Driver();
    requesting.start();
    requesting.answer("OFFER");
    expect(requesting.handle({ kind: "release" })).toEqual(["RELEASE of 10.9.0.53 server 10.9.0.1 from 10.9.0.53 to 10.9.0.1"]);
  });

  it("whose link goes fails", () => {
    const driver = new Driver();
    driver.start();
    expect(driver.handle({ kind: "link-gone" })).toEqual(["failed: the link is gone"]);
    expect(driver.client.state).toBe("failed");
  });
});
