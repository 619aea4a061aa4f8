import { isChange, type Point } from "./points.ts";

/** A change as the log has it. */
export interface RecordedStep {
  readonly command: string;
  readonly error?: string;
}

/** Of which kind the next changes are that belong to a command; `files` are any number, none too. */
function kindOf(command: string): "device" | "files" | "nftables" | "conntrack" | "route" | "sysctl" {
  const plain = command.replace(/^nsenter --net=\S+ /, "");
  if (plain.startsWith("sysctl -w ")) return "sysctl";
  if (plain.startsWith("nft ")) return "nftables";
  if (plain.startsWith("conntrack ")) return "conntrack";
  if (plain.startsWith("ip tuntap add ")) return "device";
  return /^(ip|tc|bridge) /.test(plain) ? "route" : "files";
}

/** Lays the points of a call beside the steps it recorded, in order. @returns what one of the two has and the other not */
export function differences(points: readonly Point[], steps: readonly RecordedStep[]): string[] {
  const changes = points.filter((point) => isChange(point) && point.means !== "daemon");
  const lacking: string[] = [];
  let at = 0;
  const take = (matches: (point: Point) => boolean): boolean => {
    const next = changes[at];
    if (next === undefined || !matches(next)) return false;
    at++;
    return true;
  };
  for (const { command, error } of steps) {
    const kind = kindOf(command);
    if (kind === "files") while (take(({ means }) => means === "file"));
    else if (kind === "device") at = changes.findLastIndex(({ means }) => means === "device") + 1;
    else {
      const key = kind === "sysctl" ? (/sysctl -w '?([^=]+)=/.exec(command)?.[1] ?? "") : "";
      const found = take(({ means, path }) => means === kind && path.endsWith(key));
      if (!found && error === undefined) lacking.push(`recorded, but not done (next: ${changes[at]?.about}): ${command}`);
    }
  }
  return [...lacking, ...changes.slice(at).map(({ about }) => `done, but not recorded: ${about}`)];
}
