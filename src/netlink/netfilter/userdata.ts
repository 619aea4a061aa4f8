import { type Codec, joined } from "../codec.ts";

// libnftnl/udata.h: what the kernel keeps for nft and never reads. Each entry is u8 type, u8 length, value.

/** A comment's entry in the user data of tables, chains, rules and elements (NFTNL_UDATA_*_COMMENT); sets have 7. */
const COMMENT = 0;

/** nft itself refuses longer ones when it loads a listing: 128 bytes with the NUL. */
const COMMENT_MAX = 127;

/** Entries by type. */
export const userdata: Codec<ReadonlyMap<number, Uint8Array>> = {
  encode: (entries) => joined(Array.from(entries).flatMap(([type, value]) => [Uint8Array.of(type, value.length), value])),
  decode(bytes) {
    const entries = new Map<number, Uint8Array>();
    for (let at = 0; at + 2 <= bytes.length; ) {
      const end = at + 2 + (bytes[at + 1] ?? 0);
      entries.set(bytes[at] ?? 0, new Uint8Array(bytes.subarray(at + 2, end)));
      at = end;
    }
    return entries;
  },
};

/** NUL-terminated text of an entry. @throws RangeError when nft could not load it again */
export function commentBytes(comment: string): Uint8Array {
  const bytes = Buffer.from(`${comment}\0`);
  if (bytes.length > COMMENT_MAX + 1 || /["\n\0]/.test(comment)) {
    throw new RangeError(`Cannot write comment "${comment}": at most ${COMMENT_MAX} bytes without quotes and line breaks`);
  }
  return bytes;
}

/** The text of an entry. */
export function commentText(bytes: Uint8Array | undefined): string | undefined {
  return bytes === undefined ? undefined : Buffer.from(bytes).toString("utf8").replace(/\0.*$/s, "");
}

let latest: { readonly comment: string; readonly bytes: Uint8Array } | undefined;

/** User data that holds a comment alone, which is often the same for many elements. */
export const comment: Codec<string> = {
  encode(value) {
    if (latest?.comment !== value) latest = { comment: value, bytes: userdata.encode(new Map([[COMMENT, commentBytes(value)]])) };
    return latest.bytes;
  },
  decode: (bytes) => commentText(userdata.decode(bytes).get(COMMENT)) ?? "",
};
