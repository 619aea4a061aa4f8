import { describe, expect, it, vi } from "vitest";
import { NetlinkError } from "../../../src/netlink/acks.ts";
import { flags, NetlinkConnection } from "../../../src/netlink/connection.ts";
import { RTM } from "../../../src/netlink/route/message-types.ts";
import { SyscallError } from "../../../src/sys/errno.ts";
import { type Answer, ack, answers, done, FakeKernel, message, refusal, replay } from "../../support/fake-kernel.ts";
import { splitMessages, toHex, vector } from "../../support/hex.ts";

const EINTR = 4;
const body = Uint8Array.of(1, 2, 3, 4);
const set = { type: RTM.NEWLINK, body };
const ask = { type: RTM.GETLINK, body };

function connect(answer: Answer): { kernel: FakeKernel; connection: NetlinkConnection } {
  const kernel = new FakeKernel(answer);
  return { kernel, connection: new NetlinkConnection(kernel) };
}

/** What `work` throws, which must be a NetlinkError. */
function refusalOf(work: () => unknown): NetlinkError {
  try {
    work();
  } catch (error) {
    if (error instanceof NetlinkError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

describe("change", () => {
  it("sends the request with REQUEST, ACK and what was asked for, each with a sequence number of its own", () => {
    const { kernel, connection } = connect((request) => [ack(request)]);
    connection.change({ ...set, flags: flags.CREATE | flags.EXCL });
    connection.change(set);
    expect(kernel.requests).toEqual([
      { type: RTM.NEWLINK.number, flags: 0x605, sequence: 1, body },
      { type: RTM.NEWLINK.number, flags: 0x005, sequence: 2, body },
    ]);
  });

  it("writes the header in the bytes of iproute2", () => {
    const [captured] = splitMessages(vector("links.hex", "set up"));
    const sent: Uint8Array[] = [];
    const kernel = new FakeKernel((request) => [ack(request)]);
    const connection = new NetlinkConnection({
      send(bytes) {
        sent.push(bytes);
        kernel.send(bytes);
      },
      receive: () => kernel.receive(),
      [Symbol.dispose]() {},
    });
    connection.change({ type: RTM.NEWLINK, body: captured?.body ?? new Uint8Array() });
    const expected = Buffer.from(vector("links.hex", "set up"));
    expected.writeUInt32LE(1, 8); // iproute2 counts from the time of day
    expect(sent.map(toHex)).toEqual([toHex(expected)]);
  });

  it("takes the kernel's captured acknowledgement", () => {
    const { connection } = connect((request) => [replay(request, vector("acks.hex", "ack"))]);
    expect(connection.change(set)).toBeUndefined();
  });

  it("takes an EINTR for the refusal it is: only a dump is asked again", () => {
    const { kernel, connection } = connect((request) => [refusal(request, EINTR)]);
    expect(refusalOf(() => connection.change(set)).code).toBe("EINTR");
    expect(kernel.requests).toHaveLength(1);
  });

  it.each([
    {
      name: "EINVAL with words",
      errno: 22,
      code: "EINVAL",
      text: "RTM_NEWLINK: Invalid argument (EINVAL): mtu less than device minimum",
    },
    { name: "EEXIST without words", errno: 17, code: "EEXIST", text: "RTM_NEWLINK: File exists (EEXIST)" },
    { name: "ENODEV", errno: 19, code: "ENODEV", text: "RTM_NEWLINK: No such device (ENODEV)" },
    {
      name: "EEXIST with words",
      errno: 17,
      code: "EEXIST",
      text: "RTM_NEWLINK: File exists (EEXIST): ipv4: Address already assigned",
    },
    { name: "ENOENT", errno: 2, code: "ENOENT", text: "RTM_NEWLINK: No such file or directory (ENOENT)" },
  ])("says what the kernel said: $name, with the whole request in the answer", ({ name, errno, code, text }) => {
    const { connection } = connect((request) => [replay(request, vector("acks.hex", name))]);
    const error = refusalOf(() => connection.change(set));
    expect({ message: error.message, code: error.code, errno: error.errno }).toEqual({ message: text, code, errno });
  });

  it("says what the kernel said where the answer has the request's header alone", () => {
    const { connection } = connect((request) => [refusal(request, 95, "not with this driver")]);
    const error = refusalOf(() => connection.change(set));
    expect(error.message).toBe("RTM_NEWLINK: Operation not supported (EOPNOTSUPP): not with this driver");
  });

  it("says the number of an errno it has no name for", () => {
    const { connection } = connect((request) => [refusal(request, 200)]);
    const error = refusalOf(() => connection.change(set));
    expect({ message: error.message, code: error.code }).toEqual({ message: "RTM_NEWLINK: errno 200", code: "errno 200" });
  });

  it("goes on after a refusal", () => {
    const { connection } = connect((request, count) => [count === 0 ? refusal(request, 17) : ack(request)]);
    expect(() => connection.change(set)).toThrow("EEXIST");
    expect(connection.change(set)).toBeUndefined();
  });

  it("skips what is left of an exchange that was given up", () => {
    const { connection } = connect((request) => {
      const stale = { ...request, sequence: request.sequence + 1000 };
      return [refusal(stale, 17), Buffer.concat([refusal(stale, 22), ack(request)])];
    });
    expect(connection.change(set)).toBeUndefined();
  });
});

describe("get", () => {
  it("answers with a copy of the body", () => {
    const { connection } = connect((request) => [
      message({ type: RTM.NEWLINK.number, sequence: request.sequence, body: Uint8Array.of(9, 8, 7) }),
      ack(request),
    ]);
    const first = connection.get(ask);
    connection.get(ask);
    expect(first).toEqual(Uint8Array.of(9, 8, 7));
  });

  it("throws the kernel's refusal", () => {
    const { connection } = connect((request) => [refusal(request, 19)]);
    expect(refusalOf(() => connection.get(ask)).message).toBe("RTM_GETLINK: No such device (ENODEV)");
  });

  it("does not take an acknowledgement for an answer", () => {
    const { connection } = connect((request) => [ack(request)]);
    expect(() => connection.get(ask)).toThrow("RTM_GETLINK: the kernel acknowledged but sent no answer");
  });
});

describe("findEach", () => {
  /** Of objects with these numbers: 3 is not there, 7 is nobody's business. */
  const object: Answer = (request) => {
    const number = request.body[0] ?? 0;
    if (number === 3) return [refusal(request, 2)];
    if (number === 7) return [refusal(request, 1)];
    const answer = message({ type: RTM.NEWLINK.number, sequence: request.sequence, body: Uint8Array.of(number, 0, 0, 1) });
    return (request.flags & flags.ACK) === 0 ? [answer] : [answer, ack(request)];
  };
  const asks = (numbers: readonly number[]) =>
    numbers.map((number) => ({ type: RTM.GETLINK, body: Uint8Array.of(number, 0, 0, 0) }));
  const found = (numbers: readonly number[]) =>
    numbers.map((number) => (number === 3 ? undefined : Uint8Array.of(number, 0, 0, 1)));

  it.each([[[]], [[1]], [[3]], [[1, 3, 2]], [[2, 1, 3]], [[3, 3]]])("answers in order what there is of %j", (numbers) => {
    const { connection } = connect(object);
    for (const _ of [1, 2]) expect(connection.findEach(asks(numbers))).toEqual(found(numbers));
  });

  it("sends many requests at a time, of which the last says when all are answered", () => {
    const kernel = new FakeKernel(object);
    const send = vi.spyOn(kernel, "send");
    const numbers = Array.from({ length: 150 }, (_, at) => at % 7);
    expect(new NetlinkConnection(kernel).findEach(asks(numbers))).toEqual(found(numbers));
    expect(send).toHaveBeenCalledTimes(3);
    const acked = kernel.requests.flatMap((request, at) => ((request.flags & flags.ACK) === 0 ? [] : [at]));
    expect(acked).toEqual([63, 127, 149]);
  });

  it("throws a refusal when all answers are read", () => {
    const { connection } = connect(object);
    expect(refusalOf(() => connection.findEach(asks([1, 7, 3, 2]))).message).toMatch(/^RTM_GETLINK: .*\(EPERM\)$/);
    expect(connection.findEach(asks([1, 3]))).toEqual(found([1, 3]));
  });

  it("asks one by one when the socket did not hold all answers", () => {
    const kernel = new FakeKernel(object);
    const receive = vi.spyOn(kernel, "receive");
    receive.mockImplementationOnce(() => {
      throw new SyscallError("recvfrom", 105);
    });
    const connection = new NetlinkConnection(kernel);
    expect(connection.findEach(asks([1, 3, 2]))).toEqual(found([1, 3, 2]));
    expect(kernel.requests).toHaveLength(6);
  });
});

describe("dump", () => {
  const one = Uint8Array.of(1, 1, 1, 1);
  const two = Uint8Array.of(2, 2, 2, 2);
  const three = Uint8Array.of(3, 3, 3, 3, 3);

  it("gathers the messages of all datagrams, and asks once", () => {
    const { kernel, connection } = connect((request) => [
      answers(request, RTM.NEWLINK.number, { bodies: [three, one] }),
      answers(request, RTM.NEWLINK.number, { bodies: [two] }),
      done(request),
    ]);
    expect(connection.dump(ask)).toEqual([three, one, two]);
    expect(kernel.requests.map((request) => request.flags)).toEqual([flags.REQUEST | flags.DUMP]);
  });

  it("takes the end in the same datagram as the last messages", () => {
    const { connection } = connect((request) => [replay(request, vector("neighbours.hex", "dump IPv4"))]);
    expect(connection.dump({ type: RTM.GETNEIGH, body })).toHaveLength(2);
  });

  it("reads an empty dump", () => {
    const { connection } = connect((request) => [done(request)]);
    expect(connection.dump(ask)).toEqual([]);
  });

  it("asks again when the kernel marks a message as inconsistent", () => {
    const { kernel, connection } = connect((request, count) => [
      answers(request, RTM.NEWLINK.number, { bodies: [count === 0 ? one : two], flags: count === 0 ? flags.DUMP_INTR : 0 }),
      done(request),
    ]);
    expect(connection.dump(ask)).toEqual([two]);
    expect(kernel.requests.map(({ sequence }) => sequence)).toEqual([1, 2]);
  });

  it("asks again when the kernel marks only the end", () => {
    const { kernel, connection } = connect((request, count) => [
      answers(request, RTM.NEWLINK.number, { bodies: [one] }),
      done(request, { flags: count < 3 ? flags.DUMP_INTR : 0 }),
    ]);
    expect(connection.dump(ask)).toEqual([one]);
    expect(kernel.requests).toHaveLength(4);
  });

  it("asks again when the dump ends in EINTR", () => {
    const { kernel, connection } = connect((request, count) => [
      answers(request, RTM.NEWLINK.number, { bodies: [count === 0 ? one : two] }),
      done(request, { errno: count === 0 ? EINTR : 0 }),
    ]);
    expect(connection.dump(ask)).toEqual([two]);
    expect(kernel.requests).toHaveLength(2);
  });

  it("gives up after ten interruptions in a row", () => {
    const { kernel, connection } = connect((request) => [done(request, { flags: flags.DUMP_INTR })]);
    expect(() => connection.dump(ask)).toThrow("RTM_GETLINK: the dump was interrupted by changes 10 times in a row");
    expect(kernel.requests).toHaveLength(10);
  });

  it("says why the kernel broke it off", () => {
    const { connection } = connect((request) => [replay(request, vector("acks.hex", "dump that failed"))]);
    const error = refusalOf(() => connection.dump({ type: RTM.GETROUTE, body }));
    expect(error.message).toBe("RTM_GETROUTE: No such file or directory (ENOENT): ipv4: FIB table does not exist");
  });

  it("takes the kernel's captured end", () => {
    const { connection } = connect((request) => [replay(request, vector("acks.hex", "dump that ended well"))]);
    expect(connection.dump(ask)).toEqual([]);
  });
});

describe("broken datagrams", () => {
  it.each([
    {
      name: "a length beyond the end",
      length: 100,
      text: "Cannot read a netlink message at byte 0: length 100 of 20 bytes left",
    },
    {
      name: "a length below the header's",
      length: 3,
      text: "Cannot read a netlink message at byte 0: length 3 of 20 bytes left",
    },
    {
      name: "half a header behind the last message, for whose rest nobody shall wait",
      length: 20,
      rest: 8,
      text: "Cannot read a netlink message at byte 20: length 0 of 8 bytes left",
    },
  ])("refuses $name", ({ length, rest = 0, text }) => {
    const { connection } = connect((request) => {
      const bytes = Buffer.from(message({ type: 16, sequence: request.sequence, body }));
      bytes.writeUInt32LE(length, 0);
      return [Buffer.concat([bytes, new Uint8Array(rest)])];
    });
    expect(() => connection.change(set)).toThrow(new RangeError(text));
  });
});

describe("listen", () => {
  it("answers the messages of one datagram, or undefined when none came", () => {
    const { kernel, connection } = connect(() => []);
    expect(connection.listen(0)).toBeUndefined();
    const notification = message({ type: RTM.NEWLINK.number, sequence: 0, body });
    kernel.notify(Buffer.concat([notification, notification]));
    const expected = { type: RTM.NEWLINK.number, flags: 0, body };
    expect(connection.listen(0)).toEqual([expected, expected]);
  });
});

describe("disposal", () => {
  it("closes the socket", () => {
    const { kernel, connection } = connect(() => []);
    connection[Symbol.dispose]();
    expect(kernel.disposed).toBe(true);
  });
});
