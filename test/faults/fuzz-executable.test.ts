import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { commands } from "../../src/cni/invocation.ts";
import { plugins } from "../../src/plugins/index.ts";
import { expectError, type Json } from "../support/call-plugin.ts";
import { exampleOf } from "../support/examples.ts";
import { bin, requireBuilt } from "../support/executable.ts";
import { hostileBytes, hostileText } from "../support/fuzz/hostile.ts";
import { mutate, mutations } from "../support/fuzz/mutations.ts";
import { runPlugin } from "../support/fuzz/processes.ts";
import { notForEver, Tried, tryAll, watchForHangs } from "../support/fuzz/runs.ts";
import { keysOf, readSchema } from "../support/fuzz/schema-values.ts";
import { WatchedHost } from "../support/fuzz/watched-host.ts";
import { freshNode, hideMachineState, temporaryDirectory } from "../support/node.ts";

// The executable answers what means no good as the same code does in the tests' own process, and does not care for an environment that
// is meant for Node, OpenSSL or a shell.

const directory = temporaryDirectory();
let host: WatchedHost;
beforeAll(() => {
  requireBuilt();
  hideMachineState();
  freshNode();
  host = new WatchedHost(`${directory}/bin`);
});
watchForHangs();

const who = { CNI_CONTAINERID: "cid-1", CNI_IFNAME: "eth0", CNI_NETNS: "/run/netns/none", PODLINK_LOG: "off" };

describe("hostile calls", () => {
  const tried = new Tried("calls of the executable, answered as in the tests' process");

  it.each(Object.keys(plugins))("of %s have the same answer as in this process", (type) => {
    const { config } = exampleOf(type);
    const sample: Json = { ...config, cniVersion: "1.1.0", "cni.dev/valid-attachments": [], prevResult: { cniVersion: "1.1.0" } };
    const changed = mutations(keysOf(readSchema(type)), { maxLength: 3 }).map((changes) =>
      Buffer.from(JSON.stringify(mutate(sample, changes)) ?? ""),
    );
    const variables = fc.record(
      { CNI_IFNAME: hostileText, CNI_ARGS: hostileText, CNI_CONTAINERID: hostileText },
      { requiredKeys: [] },
    );
    const input = fc.record({
      command: fc.constantFrom("ADD", "ADD", ...commands),
      stdin: fc.oneof(
        { weight: 4, arbitrary: changed },
        { weight: 1, arbitrary: hostileBytes(fc.constant(JSON.stringify(sample))) },
      ),
      more: fc.oneof({ weight: 3, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: variables }),
    });
    tryAll(input, {
      weight: 0.2,
      holds({ command, stdin, more }) {
        const env: Record<string, string> = { ...who, CNI_COMMAND: command, CNI_PATH: bin };
        // what no environment can hold
        for (const [name, value] of Object.entries(more)) env[name] = value.replaceAll("\0", "").toWellFormed().slice(0, 100_000);
        notForEver();
        freshNode();
        const { status, signal, stdout, stderr } = runPlugin(type, { env, stdin });
        freshNode();
        const ours = host.call(type, { env: { ...env, CNI_PATH: host.path }, stdin });
        tried.count(status === 0 ? "accepted" : "refused");
        if (ours.stdout.includes(host.path)) return; // it names the directory
        expect({ status, signal, stdout, stderr }).toEqual({
          status: ours.exitCode,
          signal: null,
          stdout: ours.stdout,
          stderr: ours.stderr,
        });
        if (status !== 0) expectError({ exitCode: status ?? -1, stdout, stderr });
      },
    });
  });
});

/** Every variable that Node 26 or what it is made of looks at, and those that shells and libraries live by. */
const names = [
  ...["FORCE_COLOR", "NO_COLOR", "NODE_BENCH_CONTEXT", "NODE_CHANNEL_FD", "NODE_CHANNEL_SERIALIZATION_MODE"],
  ...[
    "NODE_CLUSTER_SCHED_POLICY",
    "NODE_COMPILE_CACHE",
    "NODE_COMPILE_CACHE_PORTABLE",
    "NODE_COMPILE_CACHE_READONLY",
    "NODE_DEBUG",
  ],
  ...[
    "NODE_DEBUG_NATIVE",
    "NODE_DISABLE_COLORS",
    "NODE_DISABLE_COMPILE_CACHE",
    "NODE_ENV",
    "NODE_EXTRA_CA_CERTS",
    "NODE_ICU_DATA",
  ],
  ...["NODE_INSPECT_RESUME_ON_START", "NODE_NO_WARNINGS", "NODE_OPTIONS", "NODE_PATH", "NODE_PENDING_DEPRECATION"],
  ...["NODE_PENDING_PIPE_INSTANCES", "NODE_PRESERVE_SYMLINKS", "NODE_PRESERVE_SYMLINKS_MAIN", "NODE_REDIRECT_WARNINGS"],
  ...["NODE_REPL_HISTORY", "NODE_REPL_HISTORY_SIZE", "NODE_REPL_MODE", "NODE_RUN_PACKAGE_JSON_PATH", "NODE_RUN_SCRIPT_NAME"],
  ...["NODE_SKIP_PLATFORM_CHECK", "NODE_TEST_CONTEXT", "NODE_TEST_WORKER_ID", "NODE_TLS_REJECT_UNAUTHORIZED", "NODE_UNIQUE_ID"],
  ...["NODE_USE_ENV_PROXY", "NODE_USE_SYSTEM_CA", "NODE_V8_COVERAGE", "WATCH_REPORT_DEPENDENCIES"],
  ...["UV_THREADPOOL_SIZE", "UV_USE_IO_URING", "ICU_DATA", "ICU_TIMEZONE_FILES_DIR", "TZ", "TZDIR", "LANG", "LANGUAGE", "LC_ALL"],
  ...[
    "LC_CTYPE",
    "OPENSSL_CONF",
    "OPENSSL_ENGINES",
    "OPENSSL_MODULES",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "HTTP_PROXY",
    "NO_PROXY",
  ],
  ...["PATH", "TMPDIR", "HOME", "USER", "SHELL", "BASH_ENV", "ENV", "IFS", "TERM", "PWD", "DEBUG", "MALLOC_ARENA_MAX"],
  ...["LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET", "npm_config_node_options"],
];

const values = [
  ...[
    "",
    "0",
    "1",
    "true",
    "-1",
    "99999999999999999999",
    "x",
    "*",
    "fs,net,module",
    "%s%n",
    "--require /tmp/evil.js",
    "--inspect-brk=0",
  ],
  ...[
    "/dev/null",
    "/dev/full",
    "/dev/zero",
    "/proc/self/mem",
    "/nowhere/file",
    "/etc/passwd",
    "../..",
    "ü\n\u001b[2J",
    "x".repeat(10_000),
  ],
];

/**
 * What Node does before the first line of podlink, told in the README: it ends for one value or all of them, by an exit code or a signal;
 * below /proc it tries for ever to make a directory; names of locales that are none end it, where ICU cannot read them.
 */
const beforeUs: Readonly<Record<string, (value: string) => boolean>> = {
  NODE_CHANNEL_FD: (value) => !/^\d*$/.test(value),
  NODE_COMPILE_CACHE: (value) => value.startsWith("/proc"),
  LANG: (value) => !/^([A-Za-z]{0,8}|[a-z]{2}_[A-Z]{2}(\.[\w-]+)?)$/.test(value),
  LC_ALL: (value) => !/^([A-Za-z]{0,8}|[a-z]{2}_[A-Z]{2}(\.[\w-]+)?)$/.test(value),
};

/** Node tells what it does on stderr when asked, and nothing else differs. */
const telling = ["NODE_DEBUG", "NODE_DEBUG_NATIVE"];

const calls = [
  {
    type: "static",
    env: { ...who, CNI_COMMAND: "ADD" },
    config: { ipam: { type: "static", addresses: [{ address: "10.1.2.3/24" }], routes: [{ dst: "0.0.0.0/0" }] } },
  },
  {
    type: "bridge",
    env: { ...who, CNI_COMMAND: "ADD" },
    config: { ipam: { type: "host-local", ranges: [[{ subnet: "10.1.2.0/24" }]] } },
  },
  {
    type: "podlink",
    env: { CNI_COMMAND: "STATUS" },
    config: { ipam: { type: "static", addresses: [{ address: "10.1.2.3/24" }] } },
  },
  { type: "macvlan", env: { CNI_COMMAND: "VERSION" }, config: {} },
];

/** A directory with a library that is none. */
const broken = join(directory, "libraries");
beforeAll(() => {
  mkdirSync(broken);
  writeFileSync(join(broken, "libstdc++.so.6"), "none");
});

describe("the environment", () => {
  const tried = new Tried("environments of Node, OpenSSL and the shell");

  it("of others moves neither result nor exit code", () => {
    const plain = calls.map((call) => answerOf(call, {}));
    expect(plain.map(({ status }) => status)).toEqual([0, 1, 0, 0]);
    const value = fc.oneof(
      fc.constantFrom(...values),
      hostileText.map((text) => text.replaceAll("\0", "").toWellFormed().slice(0, 10_000)),
    );
    const variable = fc.tuple(fc.constantFrom(...names), value).filter(([name, text]) => beforeUs[name]?.(text) !== true);
    tryAll(fc.tuple(fc.nat(calls.length - 1), fc.array(variable, { minLength: 1, maxLength: 3 })), {
      weight: 5,
      holds([which, variables]) {
        const [call, expected] = [calls[which], plain[which]];
        if (call === undefined || expected === undefined) return;
        tried.count("tried");
        const { stderr, ...answer } = answerOf(call, Object.fromEntries(variables));
        const { stderr: expectedStderr, ...rest } = expected;
        expect(answer).toEqual(rest);
        if (!variables.some(([name]) => telling.includes(name))) expect(stderr).toBe(expectedStderr);
      },
    });
  });

  it.each([
    ["NODE_REPL_EXTERNAL_MODULE", "", { status: 9, signal: null }],
    ["NODE_CHANNEL_FD", "x", { status: 1, signal: null }],
    ["NODE_DEBUG", "x".repeat(100_000), { status: 1, signal: null }],
    ["LANG", "fs,net,module", { status: null, signal: "SIGSEGV" }],
    ["LC_ALL", "99999999999999999999", { status: null, signal: "SIGSEGV" }],
    ["LD_LIBRARY_PATH", broken, { status: 127, signal: null }],
  ])("ends Node before podlink's first line: %s=%.20j, as the README says", (name, value, expected) => {
    expect(answerOf(calls[3], { [name]: value })).toMatchObject({ ...expected, stdout: "" });
  });

  it.each(["C.UTF-8", "POSIX", "en_US.UTF-8", "de_DE@euro", "ca_ES.UTF-8@valencia", "zh_CN.GB18030", "tr_TR.UTF-8"])(
    "may have the locale %s",
    (locale) => {
      const plain = calls.map((call) => answerOf(call, {}));
      expect(calls.map((call) => answerOf(call, { LANG: locale, LC_ALL: locale, LANGUAGE: locale }))).toEqual(plain);
    },
  );

  it.each([
    ["LD_PRELOAD", "/nowhere/file"],
    ["LD_AUDIT", "/nowhere/file"],
    ["LD_DEBUG", "libs"],
  ])("makes the dynamic loader tell on stderr and nothing else, as the README says: %s", (name, value) => {
    const { stderr, ...answer } = answerOf(calls[0], { [name]: value });
    const { stderr: _, ...plain } = answerOf(calls[0], {});
    expect(answer).toEqual(plain);
    expect(stderr).not.toBe("");
  });

  it.each([
    ["LD_TRACE_LOADED_OBJECTS", "1"],
    ["LD_SHOW_AUXV", "1"],
    ["LD_DEBUG", "help"],
  ])("makes the dynamic loader speak on stdout before podlink does, as the README says: %s=%s", (name, value) => {
    const { status, stdout } = answerOf(calls[0], { [name]: value });
    expect(status).toBe(0);
    expect(() => JSON.parse(stdout)).toThrow(SyntaxError);
  });
});

function answerOf(call: (typeof calls)[number] | undefined, more: Readonly<Record<string, string>>) {
  notForEver();
  const { type, env, config } = call ?? { type: "static", env: {}, config: {} };
  const stdin = Buffer.from(JSON.stringify({ cniVersion: "1.1.0", name: "net1", type, ...config }));
  return runPlugin(type, { env: { ...env, CNI_PATH: bin, ...more }, stdin });
}
