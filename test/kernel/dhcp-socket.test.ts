import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { assert, asyncProperty, constantFrom, dictionary, jsonValue, oneof, record, string } from "fast-check";
import { beforeAll, beforeEach, describe, expect, it, onTestFinished } from "vitest";
import { askAsync, Daemon, Program, runDaemonProgram, SOCKET, talk } from "../support/dhcp-bench.ts";
import { podlinkCommand } from "../support/dhcp-programs.ts";
import { freshNode, hideMachineState } from "../support/node.ts";

// The daemon's socket: who may use it, and what it does with what comes.

beforeAll(hideMachineState);
beforeEach(freshNode);

const fine = { ok: true, result: { leases: 0 } };

describe("the socket", () => {
  it("is root's alone", async () => {
    await Daemon.start();
    expect(statSync(SOCKET).mode & 0o777).toBe(0o600);
    const script = `require("node:net").connect("${SOCKET}").on("error", (e) => console.log(e.code)).on("connect", () => process.exit(0))`;
    const { stdout } = spawnSync("setpriv", ["--reuid=65534", "--clear-groups", process.execPath, "-e", script], {
      encoding: "utf8",
    });
    expect(stdout).toBe("EACCES\n");
  });

  it("goes with the daemon, and one that a dead daemon left is replaced", async () => {
    const first = await runDaemonProgram("--pid-file", "/run/dhcp.pid");
    expect(readFileSync("/run/dhcp.pid", "utf8")).toMatch(/^\d+$/);
    first.kill("SIGKILL");
    expect(await first.ended).toBe("SIGKILL");
    expect(existsSync(SOCKET)).toBe(true);
    const second = await runDaemonProgram("-pidfile", "/run/dhcp.pid", "-resendmax=5s");
    expect(await askAsync({ call: "status" })).toEqual(fine);
    second.kill("SIGTERM");
    expect(await second.ended).toBe(0);
    expect([existsSync(SOCKET), existsSync("/run/dhcp.pid")]).toEqual([false, false]);
  });

  it("is not taken from a daemon that answers, nor from somebody else's file", async () => {
    await Daemon.start();
    await expect(Daemon.start()).rejects.toThrow(`Cannot listen on "${SOCKET}": another daemon does`);
    expect(await askAsync({ call: "status" })).toEqual(fine);
    writeFileSync("/run/cni/file", "");
    await expect(Daemon.start({}, { socketPath: "/run/cni/file" })).rejects.toThrow("something else has that name");
    rmSync("/run/cni/file");
  });

  it("can be handed over by systemd, and is left there then", async () => {
    const path = "/run/handed.sock";
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    onTestFinished(() => void server.close());
    const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
    const script = 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"';
    const argv = ["sh", "-c", script, "sh", ...podlinkCommand, "dhcp", "daemon", "--socket-path", path];
    const daemon = new Program(argv, { fd3: fd });
    await daemon.said(/listening on "\/run\/handed\.sock"/);
    server.unref();
    daemon.kill();
    expect(await daemon.ended).toBe(0);
    expect(existsSync(path)).toBe(true);
  });

  it.each([
    [["--timeout", "soon"], "expected a time"],
    [["--colour"], "Unknown option"],
    [["now"], "Expected"],
  ])("is not opened with %j", async (flags, words) => {
    const daemon = new Program([...podlinkCommand, "dhcp", "daemon", ...flags]);
    expect(await daemon.ended).toBe(2);
    expect(daemon.text).toContain(words);
  });
});

describe("what comes over the socket", () => {
  it.each([
    ["no JSON", "hello\n", "it is no JSON"],
    ["no object", "[1,2]\n", "Invalid"],
    ["a call that there is not", '{"call":"destroy"}\n', "Invalid"],
    [
      "a name that leads elsewhere",
      '{"call":"release","attachment":{"network":"../x","containerId":"c","ifname":"e"}}\n',
      "identifier",
    ],
    ["an empty line", "\n", "it is no JSON"],
  ])("is answered when it is %s", async (_title, line, words) => {
    await Daemon.start();
    const [heard = "", answer = ""] = await talk(line, { count: 2 });
    expect(JSON.parse(heard)).toEqual({ within: expect.any(Number) });
    expect(JSON.parse(answer)).toMatchObject({ ok: false, msg: expect.stringContaining(words) });
    expect(await askAsync({ call: "status" })).toEqual(fine);
  });

  it("is not taken beyond a size, with or without an end of the line", async () => {
    const daemon = await Daemon.start();
    await talk("x".repeat(300_000)).catch((error: Error) => expect(error.message).toMatch(/EPIPE|ECONNRESET/));
    await daemon.said(/more than 65536 bytes/);
    expect(await askAsync({ call: "status" })).toEqual(fine);
  });

  it("is forgotten when it is half a line and then nothing", async () => {
    await Daemon.start();
    expect(await talk('{"call":"sta', { end: true })).toEqual([]);
    expect(await askAsync({ call: "status" })).toEqual(fine);
  });

  it("is answered in order when it is several at once", async () => {
    await Daemon.start();
    const lines = await talk('{"call":"status"}\n{"call":"no"}\n{"call":"status"}\n', { count: 6 });
    expect(lines.filter((_, index) => index % 2 === 1).map((line) => JSON.parse(line).ok)).toEqual([true, false, true]);
  });

  it("may be anything", async () => {
    await Daemon.start();
    const call = constantFrom("allocate", "check", "release", "collect", "status");
    const attachment = record({ network: string(), containerId: string(), ifname: string() });
    const request = oneof(
      jsonValue(),
      dictionary(string(), jsonValue()),
      record({ call, attachment, netns: string(), request: jsonValue(), provide: jsonValue() }),
      record({ call, network: string(), valid: jsonValue() }),
    );
    await assert(
      asyncProperty(request, async (value) => {
        const [, answer = ""] = await talk(`${JSON.stringify(value)}\n`, { count: 2 });
        expect(JSON.parse(answer)).toHaveProperty("ok");
      }),
    );
    expect(await askAsync({ call: "status" })).toEqual(fine);
  });
});
