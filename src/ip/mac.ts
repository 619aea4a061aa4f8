/** Reads `c2:11:22:33:44:55` (also with `-`, and Cisco's `c211.2233.4455`, as Go's net.ParseMAC does). @throws RangeError */
export function parseMac(text: string): Uint8Array {
  const pairs = /^[0-9a-f]{2}([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4}$/i.test(text);
  const quads = /^[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}$/i.test(text);
  if (!pairs && !quads) throw new RangeError(`Cannot parse MAC address "${text}": expected six bytes as in c2:11:22:33:44:55`);
  return Uint8Array.from(Buffer.from(text.replace(/[:.-]/g, ""), "hex"));
}

/** Lower-case, colon separated. */
export function formatMac(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":");
}

/** The same MAC as `formatMac` writes it. @throws RangeError */
export function normalizeMac(text: string): string {
  return formatMac(parseMac(text));
}
