import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { dist } from "../../scripts/lib/paths.ts";
import { hasProgram } from "../../scripts/lib/run.ts";
import { BareHost } from "../support/bare-host.ts";
import { inside, makeContainer } from "../support/namespaces.ts";

// The environment of a caller that means no good: all of it reaches Node itself before any line of ours runs.
const hostile = {
  NODE_OPTIONS: "--require /nowhere.js --no-such-option",
  OPENSSL_CONF: "/nowhere/openssl.cnf",
  NODE_EXTRA_CA_CERTS: "/nowhere/ca.pem",
  NODE_CHANNEL_FD: "77",
  NODE_V8_COVERAGE: "/var/lib/coverage",
};

const config = {
  cniVersion: "1.1.0",
  name: "bare",
  type: "bridge",
  bridge: "bare0",
  isDefaultGateway: true,
  ipam: { type: "host-local", ranges: [[{ subnet: "10.90.7.0/24" }], [{ subnet: "fd00:10:90:7::/64" }]] },
};

const missing = hasProgram("apt-get") ? "" : " (needs apt-get to get them)";

describe.skipIf(missing !== "")(`a host with glibc and libstdc++ only${missing}`, () => {
  let host: BareHost;
  beforeAll(async () => {
    host = await BareHost.create(join(dist, "cni"));
  });
  afterAll(() => host[Symbol.dispose]());

  it("lacks libatomic, Node, a shell and iproute2", () => {
    expect(host.libraries().filter((path) => /libatomic|node|bin\/(sh|ip)$/.test(path))).toEqual([]);
    expect(host.libraries().join()).toMatch(/libstdc\+\+\.so\.6/);
  });

  it("answers VERSION without HOME, TMPDIR and LANG, and writes nothing else", () => {
    const { status, stdout, stderr } = host.run("/opt/cni/bin/bridge", {
      env: { CNI_COMMAND: "VERSION" },
      input: '{"cniVersion":"1.1.0"}',
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(JSON.parse(stdout)).toMatchObject({
      cniVersion: "1.1.0",
      supportedVersions: expect.arrayContaining(["0.1.0", "1.1.0"]),
    });
  });

  it("answers VERSION in an environment made to break Node", () => {
    const answer = host.run("/opt/cni/bin/bridge", {
      env: { ...hostile, CNI_COMMAND: "VERSION" },
      input: '{"cniVersion":"1.1.0"}',
    });
    expect({ status: answer.status, stderr: answer.stderr }).toEqual({ status: 0, stderr: "" });
    expect(existsSync(join(host.root, "var/lib/coverage"))).toBe(false);
  });

  it("attaches a container to a bridge and detaches it", () => {
    const netns = makeContainer();
    const ip = (...parameters: string[]) => inside(netns, () => spawnSync("ip", parameters, { encoding: "utf8" }).stdout);
    const call = (CNI_COMMAND: string, input: object) =>
      host.run("/opt/cni/bin/bridge", {
        env: {
          ...hostile,
          CNI_COMMAND,
          CNI_CONTAINERID: "bare1",
          CNI_NETNS: netns,
          CNI_IFNAME: "eth0",
          CNI_PATH: "/opt/cni/bin",
        },
        input: JSON.stringify(input),
      });
    const added = call("ADD", config);
    expect(added).toMatchObject({ status: 0, stderr: "" });
    const prevResult = JSON.parse(added.stdout);
    expect(prevResult.ips.map((ip: { address: string }) => ip.address)).toEqual(["10.90.7.2/24", "fd00:10:90:7::2/64"]);
    expect(ip("-oneline", "address", "show", "dev", "eth0")).toContain("inet 10.90.7.2/24");
    expect(call("CHECK", { ...config, prevResult })).toMatchObject({ status: 0, stdout: "", stderr: "" });
    expect(call("DEL", { ...config, prevResult })).toMatchObject({ status: 0, stderr: "" });
    expect(ip("-oneline", "link", "show")).not.toContain("eth0");
    expect(existsSync(join(host.root, "var/lib/cni/networks/bare/10.90.7.2"))).toBe(false);
  });
});

describe("the executable", () => {
  it("needs symbols of no newer glibc than 2.28 and libstdc++ than 8's (3.4.25)", () => {
    const text = readFileSync(join(dist, "cni/podlink"), "latin1");
    const newest = (name: string) =>
      Math.max(...[...text.matchAll(new RegExp(`\\0${name}(\\d+)\\0`, "g"))].map(([, minor]) => Number(minor)));
    expect(newest("GLIBC_2\\.")).toBeLessThanOrEqual(28);
    expect(newest("GLIBC_2\\.")).toBeGreaterThan(0);
    expect(newest("GLIBCXX_3\\.4\\.")).toBeLessThanOrEqual(25);
    expect(newest("GLIBCXX_3\\.4\\.")).toBeGreaterThan(0);
  });
});
