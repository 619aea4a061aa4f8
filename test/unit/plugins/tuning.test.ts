import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "valibot";
import { describe, expect, it } from "vitest";
import { sysctlPath } from "../../../src/plugins/sysctl-config.ts";
import { fromGo, readAllowList, requireAllowed } from "../../../src/plugins/tuning-allow-list.ts";
import { type Backup, formatBackup, mergeBackups, parseBackup } from "../../../src/plugins/tuning-backup.ts";
import { resolveTuning, tuningSchema } from "../../../src/plugins/tuning-config.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

function resolve(keys: object, options: { command?: string; mac?: string; text?: string } = {}) {
  const { command = "ADD", mac, text = JSON.stringify(keys) } = options;
  const args = new Map(mac === undefined ? [] : [["MAC", mac]]);
  return resolveTuning(parse(tuningSchema(), keys), { command, cniVersion: "1.0.0", args, text: () => text });
}

const sysctls = (keys: object) => resolve(keys).sysctls("eth0");

describe("a sysctl's key", () => {
  it.each([
    ["net.core.somaxconn", "net/core/somaxconn"],
    ["net/core/somaxconn", "net/core/somaxconn"],
    ["/net/core//somaxconn", "net/core/somaxconn"],
    ["net.nf_conntrack_max", "net/nf_conntrack_max"],
    ["net.ipv4.conf.IFNAME.rp_filter", "net/ipv4/conf/eth0.100/rp_filter"],
    ["net/ipv6/conf/IFNAME/accept_ra", "net/ipv6/conf/eth0.100/accept_ra"],
    ["net/ipv4/conf/eth0.200/forwarding", "net/ipv4/conf/eth0.200/forwarding"],
    ["net.ipv4.conf.eth0.200.forwarding", "net/ipv4/conf/eth0.200/forwarding"],
    ["net.ipv4.conf.eth0/200.forwarding", "net/ipv4/conf/eth0.200/forwarding"],
    ["net/ipv4.conf/all.forwarding", "net/ipv4/conf/all/forwarding"],
    ["net.ipv4.neigh.IFNAME.locktime", "net/ipv4/neigh/eth0.100/locktime"],
    ["net.ipv4.conf.all", "net/ipv4/conf/all"],
  ])("%s leads to %s", (key, path) => expect(sysctlPath(key, "eth0.100")).toBe(path));

  it("takes an interface's name for no pattern", () => {
    expect(sysctlPath("net.ipv4.conf.IFNAME.x", "$&")).toBe("net/ipv4/conf/$&/x");
  });

  it.each(["kernel.shmmax", "net", "", "netx.core.y", "net/../kernel/shmmax", "net.ipv4..x", "net.core.x y", "net/a\0b", ".."])(
    "%j is refused",
    (key) => {
      expect(() => resolve({ sysctl: { [key]: "1" } })).toThrow(
        expect.objectContaining({ code: 7, message: `invalid net sysctl key: ${JSON.stringify(key)}` }),
      );
    },
  );
});

describe("the sysctls", () => {
  it("stay in the order of the file", () => {
    const sysctl = { "net.z.a": "1", "net.a.z": "2", "net.m.IFNAME": "3" };
    expect(sysctls({ sysctl })).toEqual([
      { key: "net.z.a", path: "net/z/a", value: "1" },
      { key: "net.a.z", path: "net/a/z", value: "2" },
      { key: "net.m.IFNAME", path: "net/m/eth0", value: "3" },
    ]);
  });

  it("of args replace those of the configuration where they stand, and follow otherwise", () => {
    const keys = { sysctl: { "net.a.b": "1", "net.a.c": "2" }, args: { cni: { sysctl: { "net/a/b": "3", "net.a.d": "4" } } } };
    expect(sysctls(keys).map(({ path, value }) => `${path}=${value}`)).toEqual(["net/a/b=3", "net/a/c=2", "net/a/d=4"]);
  });

  it("of args need none in the configuration", () => {
    expect(sysctls({ args: { cni: { sysctl: { "net.a.b": "1" } } } })).toHaveLength(1);
  });

  it("are refused when a key is there twice", () => {
    const text = '{"sysctl": {"net.a.b": "1", "net.a.b": "2"}}';
    expect(() => resolve(JSON.parse(text), { text })).toThrow(
      expect.objectContaining({ code: 7, message: 'duplicated sysctl keys are not allowed: "net.a.b"' }),
    );
    const inArgs = `{"args": {"cni": ${text}}}`;
    expect(() => resolve(JSON.parse(inArgs), { text: inArgs })).toThrow("duplicated sysctl keys");
    expect(resolve(JSON.parse(text), { text, command: "DEL" }).dataDir).toBe("/run/cni/tuning");
  });

  it("are refused when two spellings of one differ", () => {
    expect(() => sysctls({ sysctl: { "net.a.b": "1", "net/a/b": "2" } })).toThrow("duplicated sysctl keys");
    expect(() => sysctls({ sysctl: { "net.a.IFNAME": "1", "net.a.eth0": "2" } })).toThrow("duplicated sysctl keys");
    expect(sysctls({ sysctl: { "net.a.b": "1", "net/a/b": "1" } })).toHaveLength(1);
  });
});

describe("the interface's settings", () => {
  const [own, env, runtime, args] = ["02:00:00:00:00:01", "02:00:00:00:00:02", "02:00:00:00:00:03", "02:00:00:00:00:04"];

  it("take the MAC from args, else the runtime, else CNI_ARGS, else the configuration", () => {
    const all = { mac: own, runtimeConfig: { mac: runtime }, args: { cni: { mac: args } } };
    expect(resolve(all, { mac: env }).settings.mac).toBe(args);
    expect(resolve({ ...all, args: {} }, { mac: env }).settings.mac).toBe(runtime);
    expect(resolve({ mac: own }, { mac: env }).settings.mac).toBe(env);
    expect(resolve({ mac: own.replace("02", "0A") }).settings.mac).toBe("0a:00:00:00:00:01");
  });

  it("are those of args where it has them", () => {
    const keys = { promisc: true, mtu: 1400, allmulti: true, txQLen: 5 };
    expect(resolve(keys).settings).toEqual(keys);
    expect(resolve({ ...keys, args: { cni: { promisc: false, mtu: 1300, allmulti: false, txQLen: 0 } } }).settings).toEqual({
      mtu: 1300,
      allmulti: false,
      txQLen: 0,
    });
  });

  it("leave out what says nothing: mtu 0 and promisc false, as in the reference", () => {
    expect(resolve({ mtu: 0, promisc: false }).settings).toEqual({});
  });

  it("refuse a MAC in CNI_ARGS that is none, but not in the way of a DEL", () => {
    expect(() => resolve({}, { mac: "c2:11" })).toThrow(expect.objectContaining({ code: 4 }));
    expect(resolve({}, { mac: "c2:11", command: "DEL" }).settings).toEqual({});
  });
});

describe("the list of allowed sysctls", () => {
  function allows(lines: string, key: string): boolean {
    const file = join(temporaryDirectory(), "allowlist.conf");
    writeFileSync(file, lines);
    const list = readAllowList(file);
    try {
      requireAllowed(list ?? { file, lines: [] }, [{ key, path: "", value: "1" }]);
      return true;
    } catch (error) {
      expect(error).toMatchObject({ code: 7, message: expect.stringContaining(`"${key}" to "1"`) });
      return false;
    }
  }

  it("is none where there is no file", () => expect(readAllowList("/nowhere/allowlist.conf")).toBeUndefined());

  it("is searched for in the key as it is written", () => {
    const list = "^net.ipv4.conf.IFNAME.accept_redirects$\nsomaxconn\r\n";
    expect(allows(list, "net.ipv4.conf.IFNAME.accept_redirects")).toBe(true);
    expect(allows(list, "net.core.somaxconn")).toBe(true);
    expect(allows(list, "net.core.somaxconn_or_more")).toBe(true);
    expect(allows(list, "net.ipv4.conf.eth0.accept_redirects")).toBe(false);
    expect(allows(list, "net.ipv4.ip_forward")).toBe(false);
  });

  it("may have empty lines and white space around the others", () => {
    expect(allows("", "net.a.b")).toBe(false);
    expect(allows("\n\nnet.x\n  \n", "net.a.b")).toBe(false);
    expect(allows("\n \tnet.a.b \r\n", "net.a.b")).toBe(true);
  });

  it("names a line that is no regular expression, when it gets there", () => {
    const list = { file: "/list", lines: ["net.a", "net.(b"] };
    const demand = (key: string) => requireAllowed(list, [{ key, path: "", value: "1" }]);
    expect(() => demand("net.b")).toThrow('Cannot use "net.(b" of "/list"');
    demand("net.a");
  });

  it.each([
    ["(?i)^NET\\.core", "net.core.x", true],
    ["\\Anet\\.core\\.\\w+\\z", "net.core.x", true],
    ["\\Anet\\.core\\z", "net.core.x", false],
    ["^net\\.[[:alnum:]_]+\\.x$", "net.co_re.x", true],
    ["^net\\.[[:alpha:]]+\\.x$", "net.co1.x", false],
    ["net\\-x\\_y", "net-x_y", true],
    ["^(?P<family>net)\\.", "net.core", true],
    ["^net\\.(ipv4|ipv6)\\.conf\\.", "net.ipv6.conf.all.x", true],
  ])("reads Go's %s", (source, text, expected) => expect(fromGo(source).test(text)).toBe(expected));

  it.each(["\\pL", "\\Qa.b\\E", "[[:nonsense:]]", "net.(b"])("refuses %s, which would mean something else here", (source) => {
    expect(() => fromGo(source)).toThrow();
  });
});

describe("a backup", () => {
  // written by tuning 1.9.1
  const theirs = '{\n "mac": "c6:ed:aa:d8:ac:59",\n "promisc": false,\n "mtu": 1500,\n "allmulti": false,\n "txQLen": 1000\n}';
  const settings = { mac: "c6:ed:aa:d8:ac:59", promisc: false, mtu: 1500, allmulti: false, txQLen: 1000 };
  const own = {
    network: "net1",
    containerId: "cid-1",
    ifname: "eth0",
    place: { namespace: "boot/4/4026532000", link: "2/7" },
    sysctls: [{ path: "net/a/b", before: "1", after: "2" }],
  };

  it("is read and written as the reference does", () => {
    expect(parseBackup(theirs)).toEqual({ settings });
    expect(formatBackup({ settings })).toBe(theirs);
  });

  it("has what is podlink's under a key of its own", () => {
    const text = formatBackup({ settings: { mtu: 1500 }, own });
    expect(JSON.parse(text)).toEqual({ mtu: 1500, podlink: own });
    expect(parseBackup(text)).toEqual({ settings: { mtu: 1500 }, own });
  });

  it.each([
    "",
    "{",
    "[]",
    "null",
    '{"mtu": "x", "mac": 5, "promisc": 1, "podlink": {"network": 1}}',
    '{"mac": "c2:11", "mtu": 0}',
  ])("that is damaged holds nothing: %s", (text) => expect(parseBackup(text)).toEqual({ settings: {} }));

  it.each(["net/../kernel/core_pattern", "kernel/hostname", "net//x", "net/./x", "/net/x", "net", "net/a\0b"])(
    "puts nothing back by the path %j",
    (path) => {
      const text = formatBackup({ settings: {}, own: { ...own, sysctls: [{ path, before: "1", after: "2" }, ...own.sysctls] } });
      expect(parseBackup(text)).toEqual({ settings: {}, own });
    },
  );

  it("of what is tuned twice keeps the first before and the last after", () => {
    const first: Backup = { settings: { mtu: 1500 }, own };
    const sysctl = (path: string, before: string, after: string) => ({ path, before, after });
    const second = {
      settings: { mtu: 1400, txQLen: 1000 },
      own: { ...own, sysctls: [sysctl("net/a/b", "2", "3"), sysctl("net/a/c", "4", "5")] },
    };
    expect(mergeBackups(first, second)).toEqual({
      settings: { mtu: 1500, txQLen: 1000 },
      own: { ...own, sysctls: [sysctl("net/a/b", "1", "3"), sysctl("net/a/c", "4", "5")] },
    });
  });
});
