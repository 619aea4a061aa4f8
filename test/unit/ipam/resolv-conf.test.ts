import { describe, expect, it } from "vitest";
import { parseResolvConf } from "../../../src/ipam/resolv-conf.ts";

describe("resolv.conf", () => {
  it("adds up what may stand there several times, and keeps the last domain", () => {
    const text = `# made by hand
; in two styles of comment
nameserver 192.0.2.1
nameserver   192.0.2.2 # not a third word
domain first.example
domain example.com
search example.com example.net
\tsearch example.org
options ndots:5 rotate
options timeout:1
sortlist 10.0.0.0
nameserver
`;
    expect(parseResolvConf(text)).toEqual({
      nameservers: ["192.0.2.1", "192.0.2.2"],
      domain: "example.com",
      search: ["example.com", "example.net", "example.org"],
      options: ["ndots:5", "rotate", "timeout:1"],
    });
  });

  it("says nothing where the file says nothing", () => {
    expect(parseResolvConf("\n# nothing\n\r\n")).toEqual({});
  });
});
