import { describe, expect, it } from "vitest";
import { fitComment, ownerComment, ownerOf } from "../../../src/firewall/owned.ts";
import { hostLinkName } from "../../../src/link/names.ts";

const attachment = { network: "net1", containerId: "cid-1", ifname: "eth0" };
const owner = hostLinkName(attachment);

describe("a comment of an owner", () => {
  it("has the host link first, then the names in clear, then what else is said", () => {
    expect(ownerComment(attachment, "shop/web")).toBe(`${owner} net1 cid-1 eth0 shop/web`);
    expect(ownerOf(ownerComment(attachment))).toBe(owner);
  });

  it("is cut after 127 bytes, between two letters", () => {
    const long = ownerComment({ ...attachment, containerId: "é".repeat(200) });
    expect(Buffer.byteLength(long)).toBeLessThanOrEqual(127);
    expect(long).not.toContain("\ufffd");
    expect(ownerOf(long)).toBe(hostLinkName({ ...attachment, containerId: "é".repeat(200) }));
  });

  it("has no quotation mark, which nft could not read back", () => {
    expect(fitComment(['a"b', 'c"'])).toBe("ab c");
  });

  it.each([undefined, "", "mine", "pl", "plxxxxx net1 cid-1 eth0"])("is not %j", (comment) => {
    expect(ownerOf(comment)).toBeUndefined();
  });
});
