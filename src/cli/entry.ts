import { makeHost, makeSelf, podlinkVersion, respond } from "../host.ts";
import { logCall } from "../runtime/call-log.ts";
import { invoke } from "../runtime/invoke.ts";
import { reason } from "../support/errors.ts";
import { exitNow } from "../sys/libc.ts";
import { writeAll } from "../sys/stdio.ts";
import { runCommand } from "./run.ts";

// The entry of the tool for people: a script of its own, which main.ts runs when podlink is called by its own name.

const STDOUT = 1;
const STDERR = 2;

/** One command typed by a person; plugins that are inside run in this process, and each such call is logged. */
function runCli(): number {
  const host = makeHost();
  const self = makeSelf((type, request) => {
    const response = respond(host, type, request);
    logCall(response.report, request.env);
    return response;
  });
  return runCommand({
    argv: process.argv.slice(2),
    env: process.env,
    cwd: process.cwd(),
    executable: process.execPath,
    version: podlinkVersion(),
    pluginTypes: Object.keys(host.plugins).sort(),
    invoke: (type, request) => invoke(type, request, self),
    out: (text) => writeAll(STDOUT, text),
    err: (text) => writeAll(STDERR, text),
  });
}

function main(): void {
  let exitCode: number;
  try {
    exitCode = runCli();
  } catch (error) {
    writeAll(STDERR, `podlink: Internal error: ${reason(error)}\n`);
    exitCode = 1;
  }
  exitNow(exitCode, { loadFfi: true });
}

main();
