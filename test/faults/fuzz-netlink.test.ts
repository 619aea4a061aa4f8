import fc from "fast-check";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { plugins } from "../../src/plugins/index.ts";
import { NetlinkSocket } from "../../src/sys/socket.ts";
import type { Json } from "../support/call-plugin.ts";
import { FuzzedType } from "../support/fuzz/fuzzed-type.ts";
import { protectMachine } from "../support/fuzz/machine.ts";
import { Tried, tryAll, watchForHangs } from "../support/fuzz/runs.ts";
import { WatchedHost } from "../support/fuzz/watched-host.ts";

// A kernel that answers nonsense: whole calls over real sockets, with bytes of what the kernel says changed on the way. What a call can be
// told so it may believe; it may not crash, nor hang, nor say anything but a result or an error.

// linux/netlink.h
const NLMSG_HDRLEN = 16;

let host: WatchedHost;
beforeAll(() => {
  protectMachine();
  host = new WatchedHost("/tmp/bin");
});
afterEach(() => void vi.restoreAllMocks());
watchForHangs();
const tried = new Tried("calls told nonsense over netlink");
let told = 0;

/** Changes in what comes over the sockets of one call. */
interface Lie {
  /** Which of the datagrams, from 0. */
  readonly datagram: number;
  /** Bytes behind a message's header, by their share of it: what stands there is told wrong. */
  readonly changes: readonly { readonly at: number; readonly byte: number }[];
  /** So many bytes of the last message are missing. */
  readonly missing: number;
}

const lie: fc.Arbitrary<Lie> = fc.record({
  datagram: fc.oneof(fc.integer({ min: 0, max: 12 }), fc.integer({ min: 0, max: 60 })),
  changes: fc.array(
    fc.record({
      at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
      byte: fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255)),
    }),
    { minLength: 1, maxLength: 6 },
  ),
  missing: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.integer({ min: 1, max: 12 }) }),
});

/** Bytes that are no part of a header: with a wrong sequence number the kernel would be waited for, which never lies about that. */
function bodyBytes(datagram: Buffer): number[] {
  const places: number[] = [];
  for (let at = 0; at + NLMSG_HDRLEN <= datagram.length; ) {
    const length = datagram.readUInt32LE(at);
    for (let place = at + NLMSG_HDRLEN; place < Math.min(at + length, datagram.length); place++) places.push(place);
    at += Math.max(NLMSG_HDRLEN, (length + 3) & ~3);
  }
  return places;
}

function changed(datagram: Uint8Array, { changes, missing }: Lie): Uint8Array {
  const bytes = Buffer.from(datagram);
  const places = bodyBytes(bytes);
  for (const { at, byte } of changes) {
    const place = places[Math.floor(at * places.length)];
    if (place !== undefined) bytes[place] = byte;
  }
  return missing === 0 || places.length < missing ? bytes : bytes.subarray(0, bytes.length - missing);
}

/** Runs calls with these lies told to them. @returns how many of them were */
function lying(lies: readonly Lie[], work: () => void): number {
  const byDatagram = new Map(lies.map((one) => [one.datagram, one]));
  const receive = NetlinkSocket.prototype.receive;
  let [count, lied] = [0, 0];
  const spy = vi.spyOn(NetlinkSocket.prototype, "receive").mockImplementation(function (this: NetlinkSocket, timeoutMs?: number) {
    const datagram = receive.call(this, timeoutMs);
    const chosen = byDatagram.get(count++);
    if (datagram === undefined || chosen === undefined) return datagram;
    lied++;
    return changed(datagram, chosen);
  });
  try {
    work();
  } finally {
    spy.mockRestore();
  }
  return lied;
}

describe.each(Object.keys(plugins))("%s", (type) => {
  let fuzzed: FuzzedType;
  beforeAll(() => {
    fuzzed = new FuzzedType(type, host);
    fuzzed.setUp();
  });
  afterAll(() => fuzzed.dispose());

  it("takes nonsense from the kernel for what it is", () => {
    const commands: fc.Arbitrary<readonly string[]> = fc.constantFrom<readonly string[]>(
      ["ADD"],
      ["ADD", "CHECK"],
      ["ADD", "DEL"],
      ["DEL"],
      ["GC"],
      ["STATUS"],
    );
    tryAll(fc.tuple(commands, fc.array(lie, { minLength: 1, maxLength: 6 }), fc.boolean()), {
      weight: 0.3,
      holds([verbs, lies, honestAdd]) {
        let result: Json = { ips: [] };
        const last = verbs.length - 1;
        const call = (command: string) => {
          const more: Json =
            command === "GC"
              ? { "cni.dev/valid-attachments": [] }
              : ["CHECK", "DEL"].includes(command)
                ? { prevResult: result }
                : {};
          const { exitCode, stdout } = fuzzed.call(command, Buffer.from(JSON.stringify({ ...fuzzed.config("1.1.0"), ...more })));
          if (exitCode === 0 && command === "ADD") result = JSON.parse(stdout);
          return exitCode;
        };
        if (honestAdd && last > 0) call("ADD");
        const lied = lying(lies, () => {
          for (const verb of honestAdd ? verbs.slice(last) : verbs) tried.count(call(verb) === 0 ? "believed" : "refused");
        });
        told += lied;
        fuzzed.setUp(); // there may be anything by now
      },
    });
  });
});

it("told calls nonsense", () => expect(told).toBeGreaterThan(0));
