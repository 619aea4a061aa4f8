import { expect } from "vitest";
import { expectError } from "../call-plugin.ts";
import { pretendClients } from "./connections.ts";
import type { Attachment, Site } from "./site.ts";
import { changes, containerState, nodeState } from "./state.ts";

// The ways back from a call that something happened to. After each the node must be as it is after a call that nothing happened to.

/** States of the node and the container on a way back. */
export type States = Readonly<Record<string, readonly string[]>>;

/** When an ADD was killed: before its interface was whole, or after. */
export type Killed = "early" | "late";

/** @param killed for an ADD */
export type Way = (site: Site, attachment: Attachment, killed: Killed) => States;

/** DEL of the type, then of the plugins before it in the chain. */
export function detach(site: Site, attachment: Attachment): States {
  site.succeed("DEL", attachment);
  return rest(site, attachment);
}

/** What is left where the type's own work is undone. */
export function rest(site: Site, attachment: Attachment): States {
  const container = containerState(attachment.sandbox);
  site.passBy();
  const chain = nodeState();
  site.clear(attachment);
  return { "the container": container, "the node with the rest of the chain": chain, "the node": nodeState() };
}

/** The same ADD without a DEL. */
export function addAgain(site: Site, attachment: Attachment, killed: Killed): States {
  const { kind, repeatable = false } = site.example;
  const again = site.call("ADD", attachment);
  if (again.exitCode === 0) {
    expect(killed === "late" && !repeatable, "ADD of an interface that is whole").toBe(false);
    site.succeed("CHECK", attachment, { prevResult: JSON.parse(again.stdout) });
  } else {
    // A lease that is written is a lease, whether or not anybody was told of it
    expect(kind === "ipam" || (killed === "late" && !repeatable), again.stdout).toBe(true);
    expectError(again);
  }
  return detach(site, attachment);
}

/** GC alone, after the container is gone. */
export function collect(site: Site, attachment: Attachment): States {
  site.leave(attachment);
  site.collect();
  return collected(site);
}

/** What is left where all the chain is collected. */
export function collected(site: Site): States {
  site.passBy();
  return { "the node": nodeState() };
}

/** A node on which a call of this verb has something to do. */
export function arrange(site: Site, verb: string): Attachment {
  site.reset();
  const attachment = site.prepare("cid-1");
  if (verb === "ADD") {
    pretendClients(attachment.config, "early");
    return attachment;
  }
  const prevResult = site.add(attachment);
  pretendClients({ ...attachment.config, prevResult }, "later");
  // What GC finds of other containers that are gone differs by how far the kernel is with their namespaces
  if (verb === "GC" && site.example.endNamespace !== undefined) site.leave(attachment);
  return { ...attachment, config: { ...attachment.config, prevResult } };
}

/** A link that is left has hundreds of sysctls. */
const ENOUGH = 8;

/** What is not as it should be on a way back, a line each. */
export function problemsOf(goBack: () => States, wanted: States): string[] {
  try {
    return Object.entries(goBack()).flatMap(([name, state]) => {
      const lines = changes(wanted[name] ?? [], state).map((line) => `${name}: ${line}`);
      const more = lines.length > ENOUGH ? [`${name}: and ${lines.length - ENOUGH} more`] : [];
      return [...lines.slice(0, ENOUGH), ...more];
    });
  } catch (error) {
    return [String(error)];
  }
}
