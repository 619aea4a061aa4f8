import { basename } from "node:path";
import type { Request, Response } from "./cni/handle.ts";
import { answerVersion } from "./cni/version-request.ts";
import { answerCall } from "./plugin-call.ts";
import { now } from "./support/clock.ts";

// VERSION of the types that nodes call for every container, as handle.ts answers it for the others: a script of its own without any type,
// which main.ts runs.

function respond({ type, stdin }: Request): Response {
  const started = now();
  const stdout = answerVersion(stdin);
  return { exitCode: 0, stdout, stderr: "", report: { type, command: "VERSION", ms: now() - started, steps: [] } };
}

answerCall(basename(process.argv0), { env: process.env, respond });
