// One end of the bench's traffic, a process of its own in the network namespace it is started in, with blocking sockets:
//   traffic-end.ts listen PORT connections|stream     prints "ready", then serves until it is killed
//   traffic-end.ts connect PORT connections|stream ADDRESS MS     prints connections per second, or bytes per second
import { writeSync } from "node:fs";
import { system } from "./system.ts";

const [AF_INET, SOCK_STREAM, SOL_SOCKET, SO_REUSEADDR, SO_LINGER, MSG_TRUNC, MSG_NOSIGNAL] = [2, 1, 1, 2, 13, 0x20, 0x4000];

const [role, port, kind, address = "0.0.0.0", ms = "0"] = process.argv.slice(2);
const chunk = Buffer.alloc(256 * 1024);

function socketAddress(): Buffer {
  const bytes = Buffer.alloc(16); // struct sockaddr_in
  bytes.writeUInt16LE(AF_INET, 0);
  bytes.writeUInt16BE(Number(port), 2);
  bytes.set(address.split(".").map(Number), 4);
  return bytes;
}

/** Serves one client after the other. */
function listen(): never {
  const listener = system("socket", AF_INET, SOCK_STREAM, 0);
  system("setsockopt", listener, SOL_SOCKET, SO_REUSEADDR, Buffer.from([1, 0, 0, 0]), 4);
  system("bind", listener, socketAddress(), 16);
  system("listen", listener, 1024);
  writeSync(1, "ready");
  for (;;) {
    const client = system("accept4", listener, null, null, 0);
    if (kind === "connections") system("send", client, chunk, 1n, MSG_NOSIGNAL);
    else while (system("recv", client, chunk, BigInt(chunk.length), MSG_TRUNC) > 0);
    system("close", client);
  }
}

/**
 * Connects, and sends as much as goes through; or connects again and again, each time until the server has answered. A reset ends that, which
 * leaves nothing behind: ports that wait at the server would be met again by masquerading with random ports, and cost a second.
 */
function connect(): number {
  const to = socketAddress();
  const open = () => {
    const socket = system("socket", AF_INET, SOCK_STREAM, 0);
    if (kind === "connections") system("setsockopt", socket, SOL_SOCKET, SO_LINGER, Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]), 8);
    system("connect", socket, to, 16);
    return socket;
  };
  const stream = kind === "stream" ? open() : undefined;
  const step = (): number => {
    if (stream !== undefined) return system("send", stream, chunk, BigInt(chunk.length), MSG_NOSIGNAL);
    const socket = open();
    system("recv", socket, chunk, 1n, 0);
    system("close", socket);
    return 1;
  };
  for (let warm = 0; warm < 20; warm++) step();
  const started = performance.now();
  let done = 0;
  while (performance.now() - started < Number(ms)) done += step();
  return (done * 1000) / (performance.now() - started);
}

if (role === "listen") listen();
writeSync(1, String(connect()));
