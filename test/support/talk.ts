import { spawn, spawnSync } from "node:child_process";
import { onTestFinished } from "vitest";

export type Protocol = "tcp" | "udp";

export interface Endpoint {
  readonly protocol: Protocol;
  readonly address: string;
  readonly port: number;
}

/** Runs work with this thread in some network namespace: what it starts stays there. */
type Inside = <T>(work: () => T) => T;

// Programs of their own, because Node opens sockets later than it is asked to, in whatever namespace the thread is then.
const server = `
const [protocol, address, port, name] = process.argv.slice(1);
const ready = () => console.log("ready");
if (protocol === "udp") {
  const socket = require("node:dgram").createSocket(address.includes(":") ? "udp6" : "udp4");
  socket.on("message", (_, from) => socket.send(name + " " + from.address, from.port, from.address));
  socket.bind(Number(port), address, ready);
} else {
  require("node:net").createServer((socket) => socket.end(name + " " + socket.remoteAddress)).listen(Number(port), address, ready);
}`;

const client = `
const [protocol, address, port, sourcePort, patience] = process.argv.slice(1);
setTimeout(() => process.exit(1), Number(patience));
const answer = (text) => { process.stdout.write(String(text)); process.exit(0); };
if (protocol === "udp") {
  const socket = require("node:dgram").createSocket(address.includes(":") ? "udp6" : "udp4");
  socket.on("message", answer);
  socket.on("error", () => process.exit(1));
  const send = () => socket.send("?", Number(port), address);
  socket.bind(Number(sourcePort), () => { send(); setInterval(send, 200); });
} else {
  const socket = require("node:net").connect({ host: address, port: Number(port), localPort: Number(sourcePort) });
  socket.on("data", answer);
  socket.on("error", () => process.exit(1));
}`;

/** Starts a server that answers everyone with its name and the address it saw: `one 10.1.2.3`. It ends with the test. */
export async function serve(inside: Inside, endpoint: Endpoint & { name: string }): Promise<void> {
  const { protocol, address, port, name } = endpoint;
  const child = inside(() =>
    spawn(process.execPath, ["-e", server, protocol, address, String(port), name], { stdio: ["ignore", "pipe", "pipe"] }),
  );
  onTestFinished(() => void child.kill());
  const words: string[] = [];
  child.stderr.on("data", (chunk) => words.push(String(chunk)));
  await new Promise<void>((resolve, reject) => {
    child.stdout.once("data", () => resolve());
    child.once("exit", (code) =>
      reject(new Error(`${protocol} server at ${address}:${port}: exit code ${code}: ${words.join("")}`)),
    );
  });
}

/** Asks a server. @returns its answer; undefined when none came, at once where it is refused, else after `patienceMs` */
export function ask(inside: Inside, endpoint: Endpoint & { sourcePort?: number; patienceMs?: number }): string | undefined {
  const { protocol, address, port, sourcePort = 0, patienceMs = 2000 } = endpoint;
  const parameters = ["-e", client, protocol, address, String(port), String(sourcePort), String(patienceMs)];
  const { status, stdout } = inside(() => spawnSync(process.execPath, parameters, { encoding: "utf8" }));
  return status === 0 ? stdout : undefined;
}
