import { describe, expect, it } from "vitest";
import { fakeShell } from "../../support/fake-shell.ts";

const commands = ["add", "del", "check", "gc", "status", "list", "logs", "install", "uninstall", "version", "help"];

describe("podlink", () => {
  it.each([[], ["help"], ["-h"], ["--help"]])("lists its commands for %j", (...argv) => {
    const { exitCode, stdout, stderr } = fakeShell().type(...argv);
    expect([exitCode, stderr]).toEqual([0, ""]);
    for (const command of commands) expect(stdout).toMatch(new RegExp(`^  ${command} `, "m"));
  });

  it.each(commands)("explains %s in two ways", (command) => {
    const { type } = fakeShell();
    const asked = type("help", command);
    expect(asked.exitCode).toBe(0);
    expect(asked.stdout).toMatch(new RegExp(`^Usage: podlink ${command}\\b`));
    expect(asked.stdout).toContain("-h, --help");
    expect(type(command, "--help")).toEqual(asked);
    expect(type(command, "-h")).toEqual(asked);
  });

  it.each([
    [["frobnicate"], 'Unknown command "frobnicate"'],
    [["--frobnicate"], 'Unknown command "--frobnicate"'],
    [["help", "frobnicate"], 'Unknown command "frobnicate"'],
    [["add"], "Missing <network> and <netns>"],
    [["add", "demo"], "Missing <netns>"],
    [["add", "demo", ""], "<netns> is empty"],
    [["del", "demo", "/run/netns/blue", "more"], 'Unexpected argument "more"'],
    [["list", "demo"], 'Unexpected argument "demo"'],
    [["add", "--color", "demo", "blue"], 'Unknown option "--color"'],
    [["add", "-x", "demo", "blue"], 'Unknown option "-x"'],
    [["add", "demo", "blue", "--ifname"], "argument missing"],
    [["list", "--json=yes"], "does not take an argument"],
    [["gc"], "Missing <network>"],
    [["version", "--all"], 'Unknown option "--all"'],
  ])("refuses %j with exit code 2 and a hint", (argv, message) => {
    const { exitCode, stdout, stderr } = fakeShell().type(...argv);
    expect([exitCode, stdout]).toEqual([2, ""]);
    const lines = stderr.split("\n");
    expect(lines[0]).toContain(message);
    expect(lines[1]).toMatch(/^Run "podlink .*(help|--help)" for /);
    expect(lines.slice(2)).toEqual([""]);
  });

  it.each([["version"], ["--version"], ["-V"]])("tells its version for %s", (word) => {
    const { stdout } = fakeShell().type(word);
    expect(stdout).toBe(
      "podlink 1.2.3\nplugins: bridge, host-local\nCNI protocol versions: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n",
    );
  });

  it("tells a failure in one line, with the code, and the way out in a second one", () => {
    const { directory, type } = fakeShell();
    const { exitCode, stdout, stderr } = type("status", "demo");
    expect([exitCode, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(
      new RegExp(
        `^podlink: Cannot read the configuration directory "${directory}/conf": ENOENT.* \\[code 7\\]\n  NETCONFPATH names another one\n$`,
      ),
    );
  });
});
