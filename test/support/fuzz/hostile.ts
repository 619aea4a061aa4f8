import fc from "fast-check";

// Values that somebody finds who means no good, or who makes a mistake.

/** Keys that are something else to JavaScript than to JSON. */
export const prototypeKeys: readonly string[] = [
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "hasOwnProperty",
  "valueOf",
];

const texts: readonly string[] = [
  "",
  " ",
  ".",
  "..",
  "../..",
  "../../etc/passwd",
  "/etc/passwd",
  "/",
  "a/b",
  "a\\b",
  "a\0b",
  "\0",
  "a\nb",
  "a\r\nb",
  "a\tb",
  '"; rm -rf /; "',
  "$(reboot)",
  "'",
  "\u001b[2J\u001b]0;owned\u0007",
  "\u202e",
  "\u2028",
  "\u0085",
  "\ufeffx",
  "\ud800",
  "\u{1f600}",
  "ü".repeat(10),
  "x".repeat(16),
  "x".repeat(300),
  "x".repeat(100_000),
  "%s%n%d",
  "-1",
  "0",
  "1e9",
  "0x10",
  "4294967296",
  "true",
  "null",
  "lo",
  "eth0",
  "cni0",
  "all",
  "default",
  "pl%d",
  "10.0.0.0",
  "10.0.0.0/8",
  "10.0.0.0/33",
  "10.0.0.0/-1",
  "010.1.1.1",
  "0.0.0.0/0",
  "255.255.255.255/32",
  "224.0.0.1/32",
  "127.0.0.1/8",
  "::/0",
  "::1/128",
  "::ffff:10.1.2.3/120",
  "fe80::1%eth0",
  "fd00::/129",
  "ff02::1/128",
  "00:00:00:00:00:00",
  "ff:ff:ff:ff:ff:ff",
  "01:00:5e:00:00:01",
  "02:00:00:00:00:01",
  "/proc/self/mem",
  "/dev/zero",
  "host-local",
  "static",
  "dhcp",
  "../bridge",
  ...prototypeKeys,
];

export const hostileText: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...texts) },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 40 }) },
  { weight: 1, arbitrary: fc.tuple(fc.constantFrom(...texts), fc.constantFrom(...texts)).map(([one, other]) => one + other) },
);

export const hostileNumber: fc.Arbitrary<number> = fc.oneof(
  fc.constantFrom(0, -0, -1, 1, 2, 0.5, 67, 68, 1500, 4094, 4095, 4096, 65_535, 65_536),
  fc.constantFrom(2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53, 2 ** 63, 2 ** 64, 1e300, -1e300),
  fc.integer(),
);

function nested(depth: number): unknown {
  let value: unknown = {};
  for (let level = 0; level < depth; level++) value = level % 2 === 0 ? [value] : { plugins: value };
  return value;
}

const hostileKey = fc.oneof(fc.constantFrom(...prototypeKeys), hostileText);

/** An object as JSON.parse makes it: `__proto__` is a key like any other. */
function objectOf(entries: readonly (readonly [string, unknown])[]): Record<string, unknown> {
  const made: Record<string, unknown> = {};
  for (const [key, value] of entries) set(made, key, value);
  return made;
}

/** Assignment that makes a key of `__proto__` too. */
export function set(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
}

export const hostileValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 6, arbitrary: hostileText },
  { weight: 4, arbitrary: hostileNumber },
  { weight: 3, arbitrary: fc.constantFrom<unknown>(null, true, false, [], {}, [[]], [null], [{}], { "": "" }) },
  { weight: 1, arbitrary: fc.constantFrom(100, 600, 5000).map(nested) },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constantFrom(50, 3000), hostileText).map(([length, text]) => Array(length).fill(text.slice(0, 300))),
  },
  { weight: 2, arbitrary: fc.array(fc.tuple(hostileKey, fc.oneof(hostileText, hostileNumber)), { maxLength: 4 }).map(objectOf) },
  { weight: 2, arbitrary: fc.array(fc.oneof(hostileText, hostileNumber, fc.constant(null)), { maxLength: 4 }) },
);

/** Bytes that stand where a text was expected: the text with holes, ends, and what is no UTF-8. */
export function hostileBytes(text: fc.Arbitrary<string>): fc.Arbitrary<Uint8Array> {
  const change = fc.record({
    what: fc.constantFrom("flip", "cut", "insert", "repeat"),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    byte: fc.oneof(fc.constantFrom(0, 0x22, 0x2c, 0x5b, 0x5c, 0x7b, 0x7d, 0xc0, 0xed, 0xff), fc.integer({ min: 0, max: 255 })),
  });
  return fc.tuple(text, fc.array(change, { minLength: 1, maxLength: 4 })).map(([whole, changes]) => {
    let bytes = Buffer.from(whole);
    for (const { what, at, byte } of changes) {
      const place = Math.floor(at * bytes.length);
      if (what === "cut") bytes = bytes.subarray(0, place);
      else if (what === "flip") bytes[place] = byte;
      else if (what === "insert") bytes = Buffer.concat([bytes.subarray(0, place), Uint8Array.of(byte), bytes.subarray(place)]);
      else bytes = Buffer.concat([bytes, bytes.subarray(place)]);
    }
    return bytes;
  });
}
