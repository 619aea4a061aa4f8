import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { type Host, handle } from "../../../src/cni/handle.ts";
import { respond } from "../../../src/host.ts";
import { plugins } from "../../../src/plugins/index.ts";
import { isOwnNetns, Netns, withNetns } from "../../../src/sys/netns.ts";
import { type Bench, call, type Line } from "./bench.ts";
import { alternate, format, summarize } from "./measure.ts";
import { Container } from "./node.ts";

const limit = 1.2;

const MANY = 500;

/** A namespace that plays a node with so many containers attached, and what attaches and detaches one more. */
interface Crowd extends Disposable {
  /** One more comes and goes. @returns milliseconds of both calls */
  oneMore(): Readonly<Record<"add" | "del", number>>;
}

/** Type podlink with masquerading, two host ports and an ingress policy: one more container with 500 attached, and with one. */
export async function manyRow(bench: Bench): Promise<Line[]> {
  using few = makeCrowd(bench, { name: "few", count: 1 });
  using many = makeCrowd(bench, { name: "many", count: MANY });
  const times = { few: { add: [] as number[], del: [] as number[] }, many: { add: [] as number[], del: [] as number[] } };
  const candidate = (name: keyof typeof times, crowd: Crowd) => () => {
    const { add, del } = crowd.oneMore();
    times[name].add.push(add);
    times[name].del.push(del);
    return add + del;
  };
  alternate({ few: candidate("few", few), many: candidate("many", many) }, { rounds: bench.rounds });
  return (["add", "del"] as const).map((verb) => {
    const [one, crowded] = [summarize(times.few[verb].slice(1)), summarize(times.many[verb].slice(1))];
    const ratio = crowded.median / one.median;
    const title = `one more with ${MANY} attached, ${verb.toUpperCase()}`;
    return {
      text: `${title} ${format(crowded)}, ${ratio.toFixed(2)} times that with one attached ${format(one)} (at most ${limit})`,
      within: ratio <= limit,
    };
  });
}

function makeCrowd({ bin, scratch }: Bench, { name, count }: { name: string; count: number }): Crowd {
  const stack = new DisposableStack();
  const node = stack.use(Netns.open(stack.use(new Container()).netns));
  const inside = <T>(work: () => T): T => withNetns(node, work as () => never);
  // Every node has one, and podlink looks for it
  inside(() =>
    ip(
      "link set lo up",
      "link add uplink0 up type veth peer name uplink1",
      "link set uplink1 up",
      "address add 192.0.2.1/24 dev uplink0",
      "route add default via 192.0.2.2",
    ),
  );

  const request = (number: number, container: Container) => {
    const ports = { tcp: 80, udp: 53 };
    const portMappings = Object.entries(ports).map(([protocol, containerPort]) => {
      return { protocol, containerPort, hostPort: 20_000 + number };
    });
    const ipam = { type: "host-local", dataDir: join(scratch, name), ranges: [[{ subnet: "10.244.0.0/22" }]] };
    const config = { cniVersion: "1.0.0", name: "pods", type: "podlink", ingressPolicy: "same-bridge", hostForward: true, ipam };
    const who = { CNI_CONTAINERID: `bench-${number}`, CNI_NETNS: container.netns, CNI_IFNAME: "eth0", CNI_PATH: bin };
    const input = JSON.stringify({ ...config, runtimeConfig: { portMappings } });
    return { input, env: (command: string) => ({ ...who, CNI_COMMAND: command, PODLINK_LOG: join(scratch, "log") }) };
  };
  inside(() => {
    for (let number = 1; number <= count; number++) attach(request(number, stack.use(new Container())));
  });
  return {
    oneMore() {
      using container = new Container();
      const { env, input } = request(0, container);
      const timed = (command: string) => inside(() => call(join(bin, "podlink"), { input, env: env(command) }).ms);
      return { add: timed("ADD"), del: timed("DEL") };
    },
    [Symbol.dispose]: () => stack.dispose(),
  };
}

/** An ADD in this process, IPAM included: a fraction of the time that the executable takes to start. */
function attach({ env, input }: { env: (command: string) => Record<string, string>; input: string }): void {
  const host: Host = { plugins, podlinkVersion: "", isOwnNetns, invoke: (type, request) => respond(host, type, request) };
  const { exitCode, stdout } = handle({ type: "podlink", env: env("ADD"), stdin: () => Buffer.from(input) }, host);
  if (exitCode !== 0) throw new Error(`Cannot fill a node for the bench: ${stdout}`);
}

function ip(...commands: readonly string[]): void {
  const { status, stderr } = spawnSync("ip", ["-batch", "-"], { input: commands.join("\n"), encoding: "utf8" });
  if (status !== 0) throw new Error(`Cannot make a node for the bench: ${stderr}`);
}
