import { expect } from "vitest";
import { expectError } from "../call-plugin.ts";
import { chosen, hit, isEverythingTried, listPoints, pick, recordedSteps, report } from "./faults.ts";
import { type Change, isChange, type Point } from "./points.ts";
import { RefusingKernel } from "./refusing-kernel.ts";
import type { Attachment, Site } from "./site.ts";
import { callThrough } from "./trace.ts";
import { arrange, collected, detach, problemsOf, rest, type States } from "./ways.ts";

/** What the kernel says to a change: not allowed, no memory, busy, there already, interrupted. */
const errnos = ["EPERM", "ENOMEM", "EBUSY", "EEXIST", "EINTR"] as const;

type Answer = { readonly exitCode: number; readonly stdout: string; readonly stderr: string };

/** What withNetns says when it ends the process, because it stands in a namespace that it cannot leave. */
const stranded = /^Cannot return from network namespace /m;

/** What is left after a call, refused or not; of an ADD that failed without a DEL. */
function settle(site: Site, verb: string, { attachment, answer }: { attachment: Attachment; answer: Answer }): States {
  const isStranded = answer.stdout === "" && stranded.test(answer.stderr);
  if (answer.exitCode !== 0 && !isStranded) expectError(answer);
  if (verb === "GC") {
    site.collect(answer.exitCode === 0 ? "the rest" : "all");
    return collected(site);
  }
  const isAdded = verb === "ADD" && (answer.exitCode === 0 || isStranded);
  const isToRepeat = verb === "DEL" && answer.exitCode !== 0;
  if (isAdded || isToRepeat) site.succeed("DEL", attachment);
  return rest(site, attachment);
}

/** What was refused, and how the call went on. */
interface Refused extends Change {
  readonly verb: string;
  readonly errno: string;
  readonly answer: Answer;
}

/**
 * Whether a difference is what a call may leave that succeeded without what was refused, and said so: in a container that goes anyway, or
 * the very sysctl or connection. Whoever is told that something exists already takes it for what he wanted.
 */
function isTolerated(line: string, { answer, errno, means, path, verb }: Refused): boolean {
  if (answer.exitCode !== 0) return false;
  const isTold = answer.stderr !== "";
  if (line.startsWith("the container: ")) return errno === "EEXIST" || (verb === "DEL" && isTold);
  if (means === "conntrack") return isTold && line.includes(" dport=");
  return means === "sysctl" && isTold && line.includes(` ${path.replace("/proc/sys/net/", "")}:`);
}

/** Has the kernel refuse each change that a call asks of it over netlink, with each errno. */
export function refuseEverywhere(site: Site, verb: string): void {
  const { type } = site.example;
  const attempt = (kernel: RefusingKernel) => {
    const attachment = arrange(site, verb);
    return { attachment, answer: kernel.during(() => site.call(verb, attachment)) };
  };
  const willing = new RefusingKernel();
  const wanted = settle(site, verb, attempt(willing));
  const all = willing.changes.flatMap((change, at) => pick(errnos, at).map((errno) => ({ ...change, at, errno })));
  const problems: string[] = [];
  const tried = chosen(all, { type });
  for (const { at, errno, ...change } of tried) {
    const kernel = new RefusingKernel(at, errno);
    const refused = attempt(kernel);
    expect(kernel.changes[at]).toEqual(change);
    const { answer } = refused;
    const found = problemsOf(() => settle(site, verb, refused), wanted);
    for (const line of found.filter((one) => !isTolerated(one, { ...change, answer, errno, verb })))
      problems.push(`${verb} with ${errno} for change ${at + 1} (${change.about}): ${line}: ${answer.stdout}`);
  }
  report({ type, verb, points: willing.changes.length, refusals: tried.length });
  expect(problems).toEqual([]);
}

/** A log's disk is full; no more of it is needed. */
function errnosOf({ means }: Point): readonly string[] {
  return means === "log" ? ["ENOSPC"] : [...errnos, "ENOSPC"];
}

/** Has each system call fail by which a call changes a file, a sysctl or a device, or enters a namespace. */
export function failEverywhere(site: Site, verb: string): void {
  const { type } = site.example;
  const example = arrange(site, verb);
  const points = listPoints(site, verb, example).filter(
    (point) => (isChange(point) && point.name !== "sendto") || point.means === "namespace" || point.means === "log",
  );
  const wanted = settle(site, verb, { attachment: example, answer: { exitCode: 0, stdout: "", stderr: "" } });
  const all = points.flatMap((point, at) => pick(errnosOf(point), at).map((errno) => ({ point, errno })));
  const problems: string[] = [];
  const tried = chosen(all, { type });
  for (const { point, errno } of tried) {
    const { attachment, traced } = hit(site, point, { verb, kind: errno });
    const told = recordedSteps().flatMap(({ error }) => error ?? []); // what nobody needs to read at once is told in the log alone
    const answer = { exitCode: traced.status ?? -1, stdout: traced.stdout, stderr: traced.stderr + told.join("\n") };
    const found = problemsOf(() => settle(site, verb, { attachment, answer }), wanted);
    for (const line of found.filter((one) => !isTolerated(one, { ...point, answer, errno, verb })))
      problems.push(`${verb} with ${errno} for ${point.about} (${point.name}#${point.ordinal}): ${line}: ${answer.stdout}`);
  }
  report({ type, verb, points: points.length, refusals: tried.length });
  expect(problems).toEqual([]);
}

type Hardship = readonly [string, ...string[]];

/** Rights that calls have need of. */
const rights = ["net_admin", "sys_admin"];

/** Of how many file descriptors: so few that Node does not start, up to as many as every type can do with; not quite so few for a sample. */
const [fewest, some, most] = [20, 23, 60];

/**
 * ADDs where the kernel refuses of its own accord: the right to change networks is missing, and descriptors run out, sooner and later,
 * until there are enough. To undo something may need a right that is missing, so there is a DEL after those, as runtimes do it.
 */
export function refuseReally(site: Site, verb: string): void {
  const { type } = site.example;
  const example = arrange(site, verb);
  site.succeed(verb, example);
  const wanted = detach(site, example);
  const problems: string[] = [];
  let [tried, failed] = [0, 0];

  /** @returns whether the call succeeded */
  const attempt = (hardship: Hardship, isUndone: boolean): boolean => {
    const attachment = arrange(site, verb);
    const { status, stdout, stderr } = callThrough(hardship, site.processCall(verb, attachment));
    tried++;
    if (status !== 0) failed++;
    if (status === 1) expectError({ exitCode: status, stdout, stderr });
    else if (status !== 0) expect(stdout).toBe(""); // Node ends before our first line where it cannot open what it needs
    const goBack = status === 1 && isUndone ? rest : detach;
    for (const line of problemsOf(() => goBack(site, attachment), wanted))
      problems.push(`${verb} by ${hardship.join(" ")}: ${line}: ${stdout}${stderr}`);
    return status === 0;
  };

  for (const right of chosen(rights, { type })) attempt(["setpriv", `--bounding-set=-${right}`, `--inh-caps=-${right}`], false);
  let isEnough = false;
  for (let count = isEverythingTried ? fewest : some; !isEnough; count++) {
    expect(count, `file descriptors for ${verb} of ${type}`).toBeLessThan(most);
    isEnough = attempt(["prlimit", `--nofile=${count}`], true);
  }
  report({ type, verb, points: tried, refusals: failed });
  expect(problems).toEqual([]);
}
