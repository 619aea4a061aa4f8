import { type Command, helpOf, UsageError } from "./command.ts";

/** `podlink help`, which knows the other commands. */
export function makeHelp(commands: readonly Command[]): Command {
  const help: Command = {
    name: "help",
    summary: "Show the commands, or the arguments of one",
    positionals: ["[command]"],
    options: {},
    notes: "",
    run({ positionals: [name] }, shell) {
      if (name === undefined) {
        shell.out(overview([...commands, help]));
        return;
      }
      const command = [...commands, help].find((one) => one.name === name);
      if (command === undefined) throw new UsageError(`Unknown command "${name}"`);
      shell.out(helpOf(command));
    },
  };
  return help;
}

function overview(commands: readonly Command[]): string {
  const left = commands.map(({ name, positionals }) => [name, ...positionals].join(" "));
  const width = Math.max(...left.map((text) => text.length));
  return [
    "podlink attaches containers to networks: CNI plugins in one executable, and a tool to call them by hand.",
    "",
    "Usage: podlink <command> [options]",
    "",
    ...commands.map(({ summary }, index) => `  ${(left[index] ?? "").padEnd(width)}  ${summary}`),
    "",
    'A <network> is the "name" in a *.conflist of /etc/cni/net.d, a <netns> the path of a network namespace',
    "or its name below /run/netns.",
    "",
    "Environment (as for cnitool):",
    "  NETCONFPATH        directory of the network configurations       /etc/cni/net.d",
    "  CNI_PATH           directories of the plugins                    that of podlink, /opt/cni/bin",
    "  CNI_IFNAME         interface in the container                    eth0",
    "  CNI_ARGS           K=V;K=V for the plugins",
    '  CAP_ARGS           JSON object of capability arguments, as {"ips":["10.1.2.3/24"]}',
    "  PODLINK_CACHE_DIR  directory whose results/ remembers additions  /var/lib/cni",
    "  PODLINK_LOG        log file, or off                              /var/log/podlink/podlink.log",
    "  PODLINK_LOG_LEVEL  calls to log: all, changes or errors          changes",
    "  PODLINK_LOG_SIZE   size at which the log is put aside            10M",
    "  PODLINK_EXPLAIN    file to which each call adds what it changes, as commands",
    "",
    'Run "podlink <command> --help" for its options.',
    "",
  ].join("\n");
}
