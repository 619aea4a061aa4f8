import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Event } from "../../../src/dhcp/client-events.ts";
import { Driver } from "./driver.ts";
import { datagram } from "./replies.ts";

describe("any events whatever", () => {
  const event: fc.Arbitrary<Event | "OFFER" | "ACK" | "NAK" | "wait"> = fc.oneof(
    fc.constantFrom<"OFFER" | "ACK" | "NAK" | "wait">("OFFER", "ACK", "NAK", "wait"),
    fc.constantFrom<Event>({ kind: "start" }, { kind: "deadline" }, { kind: "carrier" }),
    fc.constantFrom<Event>({ kind: "release" }, { kind: "link-gone" }),
    fc.uint8Array({ maxLength: 400 }).map((payload): Event => ({ kind: "received", payload })),
    fc.uint8Array({ maxLength: 40 }).map((end): Event => {
      const payload = datagram("ACK");
      payload.set(end, 240);
      return { kind: "received", payload };
    }),
  );

  it("leave a client with a deadline or at an end, and with a lease exactly where it says so", () => {
    const withLease = ["rebooting", "bound", "renewing", "rebinding"];
    fc.assert(
      fc.property(fc.array(event, { maxLength: 60 }), fc.integer({ min: 1, max: 5000 }), (events, seconds) => {
        const driver = new Driver();
        driver.start();
        let held: string | undefined;
        for (const step of events) {
          const values = { "dhcp-lease-time": seconds };
          const done =
            step === "wait" ? driver.expire() : typeof step === "string" ? driver.answer(step, { values }) : driver.handle(step);
          for (const line of done) {
            if (line.startsWith("bound")) held = line.split(" ")[1];
            if (line.startsWith("lost")) {
              expect(line).toContain(held ?? "nothing was held");
              held = undefined;
            }
          }
          const { state, deadline } = driver.client;
          if (state === "released" || state === "failed" || state === "gone") expect(deadline).toBeUndefined();
          else {
            expect(deadline).toBeGreaterThanOrEqual(driver.now);
            expect(withLease.includes(state)).toBe(held !== undefined);
          }
        }
      }),
    );
  });
});
