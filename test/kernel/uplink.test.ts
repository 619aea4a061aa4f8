import { beforeEach, expect, it } from "vitest";
import { findUplink } from "../../src/link/uplink.ts";
import { output } from "../support/node.ts";
import { makeStage, type Stage } from "../support/stage.ts";

let stage: Stage;
beforeEach(() => {
  stage = makeStage();
});

function wire(name: string, address: string): void {
  output("ip", "link", "add", name, "type", "veth", "peer", "name", `${name}p`);
  for (const end of [name, `${name}p`]) output("ip", "link", "set", end, "up");
  output("ip", "address", "add", address, "dev", name, ...(address.includes(":") ? ["nodad"] : []));
}

it("there is none in a namespace that never had a route", () => {
  expect(findUplink(stage.host)).toBeUndefined();
});

it("is the link of the default route with the lowest metric, IPv4 before IPv6", () => {
  wire("six", "2001:db8::2/64");
  output("ip", "-6", "route", "add", "default", "via", "2001:db8::1");
  expect(findUplink(stage.host)?.name).toBe("six");
  wire("slow", "192.0.2.2/24");
  output("ip", "route", "add", "default", "via", "192.0.2.1", "metric", "200");
  wire("fast", "198.51.100.2/24");
  output("ip", "route", "add", "default", "via", "198.51.100.1", "metric", "100");
  output("ip", "route", "add", "default", "via", "192.0.2.1", "metric", "1", "table", "99"); // another table's is not for everybody
  expect(findUplink(stage.host)?.name).toBe("fast");
});
