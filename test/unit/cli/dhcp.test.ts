import { describe, expect, it } from "vitest";
import { fakeShell } from "../../support/fake-shell.ts";

describe("podlink dhcp", () => {
  it.each([
    [[], "Missing <daemon|call>"],
    [["deamon"], 'Expected "daemon"'],
    [["daemon", "now"], 'Expected "daemon"'],
    [["call"], "Missing the request"],
    [["call", "status"], "The request is no JSON"],
    [["daemon", "-timeout", "10"], '--timeout is "10", expected a time'],
    [["daemon", "-resendmax=1s2"], '--resend-max is "1s2"'],
    [["daemon", "--resendtimeout", "0s"], '--resend-timeout is "0s"'],
    [["daemon", "-nosuch"], "Unknown option"],
  ])("does nothing with %j", (argv, words) => {
    const { type } = fakeShell();
    expect(type("dhcp", ...argv)).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(words) });
  });

  it("says what to do where there is no daemon", () => {
    const { type } = fakeShell();
    const { exitCode, stderr } = type("dhcp", "call", "--socket-path", "no.sock", '{"call":"status"}');
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/Cannot ask the DHCP daemon at ".*\/no\.sock": there is no such socket \[code 11\]\n {2}start it/);
  });

  it("does not listen where more than one socket is handed over", () => {
    const { type } = fakeShell({ env: { LISTEN_FDS: "2", LISTEN_PID: "4321" } });
    expect(type("dhcp", "daemon")).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('LISTEN_FDS is "2"') });
  });
});
