import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { defaultSocketPath, LONGEST_REQUEST } from "../../src/dhcp/protocol.ts";
import { parseRequest } from "../../src/dhcp-daemon/request.ts";
import { askAsync, Daemon, talk } from "../support/dhcp-bench.ts";
import { hostileBytes, hostileNumber, hostileText } from "../support/fuzz/hostile.ts";
import { protectMachine } from "../support/fuzz/machine.ts";
import { mutate, mutations } from "../support/fuzz/mutations.ts";
import { Tried, tryAll, tryAllAsync, watchForHangs } from "../support/fuzz/runs.ts";
import { expectNoCrash, WatchedHost } from "../support/fuzz/watched-host.ts";
import { freshNode, makeSandbox } from "../support/node.ts";

// The socket between type dhcp and its daemon: what comes over it to either of them may be anything.

let host: WatchedHost;
beforeAll(() => {
  protectMachine();
  freshNode();
  host = new WatchedHost("/tmp/bin");
});
watchForHangs();

const attachment = { network: "net1", containerId: "cid-1", ifname: "eth0" };
const requests = [
  { call: "allocate", attachment, netns: "/run/netns/none", priority: 5, request: [1, 3, 6], provide: [[12, "686f7374"]] },
  { call: "check", attachment },
  { call: "release", attachment },
  { call: "collect", network: "net1", valid: [{ containerId: "cid-1", ifname: "eth0" }] },
  { call: "status" },
];
const request = fc
  .tuple(
    fc.constantFrom(...requests),
    mutations(["call", "attachment", "netns", "request", "provide", "valid", "network"], { minLength: 1 }),
  )
  .map(([sample, changes]) => mutate(sample, changes));

describe("the daemon", () => {
  const tried = new Tried("requests to the DHCP daemon");

  it("reads a request, or says what is wrong with it", () => {
    tryAll(request, {
      weight: 10,
      holds(value) {
        try {
          parseRequest(JSON.stringify(value) ?? "");
          tried.count("read");
        } catch (error) {
          tried.count("refused");
          expect(error).toBeInstanceOf(RangeError);
          expectNoCrash(error);
        }
      },
    });
  });

  it("answers each, and goes on", async () => {
    makeSandbox();
    const daemon = await Daemon.start();
    const line = fc.oneof(
      { weight: 3, arbitrary: request.map((value) => Buffer.from(JSON.stringify(value) ?? "")) },
      { weight: 1, arbitrary: hostileBytes(fc.constantFrom(...requests.map((one) => JSON.stringify(one)))) },
    );
    await tryAllAsync(line, {
      weight: 5,
      async holds(bytes) {
        const text = bytes.toString().replaceAll("\n", " ");
        if (text.length > LONGEST_REQUEST / 2) return;
        const [, answer = ""] = await talk(`${text}\n`, { count: 2 });
        const { ok } = JSON.parse(answer);
        tried.count(ok ? "answered" : "refused");
        if (!ok) expect(JSON.parse(answer).msg).not.toMatch(/Internal error|is not a function|Cannot read propert/);
      },
    });
    expect(await askAsync({ call: "status" })).toMatchObject({ ok: true });
    await daemon.stop();
  });
});

/** Says to everybody who asks what stands in a file, and hangs up. It is a thread, because the asking one stands still meanwhile. */
const server = `
  const { readFileSync } = require("node:fs");
  const { workerData, parentPort } = require("node:worker_threads");
  require("node:net")
    .createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => socket.end(readFileSync(workerData.answer)));
    })
    .listen(workerData.path, () => parentPort.postMessage("listening"));
`;

describe("type dhcp", () => {
  const tried = new Tried("answers of the DHCP daemon");
  const answer = "/tmp/answer";
  let worker: Worker;
  beforeAll(async () => {
    mkdirSync("/run/cni", { recursive: true });
    worker = new Worker(server, { eval: true, workerData: { answer, path: defaultSocketPath } });
    await new Promise((resolve) => worker.once("message", resolve));
  });
  afterAll(() => worker.terminate().then(() => {}));

  it("takes any answer for a result or for none", () => {
    const result = {
      ips: [{ address: "10.1.2.3/24", gateway: "10.1.2.1" }],
      routes: [{ dst: "0.0.0.0/0", gw: "10.1.2.1" }],
      dns: { nameservers: ["10.1.2.1"] },
    };
    const within = fc.oneof(fc.constant(100), hostileNumber, hostileText).map((value) => JSON.stringify({ within: value }));
    const refusal = { ok: false, code: 11, msg: "busy", details: "later" };
    const answered = fc
      .tuple(
        fc.constantFrom<object>({ ok: true, result }, refusal),
        mutations(["ok", "result", "code", "msg", "ips", "routes", "dns"]),
      )
      .map(([sample, changes]) => JSON.stringify(mutate(sample, changes)) ?? "");
    const said = fc.tuple(within, answered).map((lines) => `${lines.join("\n")}\n`);
    const commands = fc.constantFrom("ADD", "ADD", "CHECK", "DEL", "GC", "STATUS");
    tryAll(
      fc.tuple(
        commands,
        fc.oneof({ weight: 4, arbitrary: said.map((text) => Buffer.from(text)) }, { weight: 1, arbitrary: hostileBytes(said) }),
      ),
      {
        weight: 10,
        holds([command, bytes]) {
          writeFileSync(`${answer}.new`, bytes);
          renameSync(`${answer}.new`, answer);
          const config = {
            cniVersion: "1.1.0",
            name: "net1",
            type: "macvlan",
            ipam: { type: "dhcp" },
            "cni.dev/valid-attachments": [],
            ...(command === "CHECK" ? { prevResult: { cniVersion: "1.1.0", ...result } } : {}),
          };
          const who = ["GC", "STATUS"].includes(command)
            ? {}
            : { CNI_CONTAINERID: "cid-1", CNI_IFNAME: "eth0", CNI_NETNS: "/proc/self/ns/net" };
          const env = { CNI_COMMAND: command, CNI_NETNS_OVERRIDE: "1", ...who };
          const { exitCode } = host.call("dhcp", { env, stdin: Buffer.from(JSON.stringify(config)) });
          tried.count(exitCode === 0 ? "believed" : "refused");
        },
      },
    );
    expect(tried.of("believed")).toBeGreaterThan(0);
  });
});
