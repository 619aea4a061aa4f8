/** What resolv.conf(5) tells a resolver; absent where the file says nothing. */
export interface ResolvConf {
  nameservers?: string[];
  domain?: string;
  search?: string[];
  options?: string[];
}

/** Reads the text of a resolv.conf: the last `domain` counts, everything else adds up; unknown keywords are left out. */
export function parseResolvConf(text: string): ResolvConf {
  const conf: ResolvConf = {};
  for (const line of text.split("\n")) {
    if (line.startsWith("#") || line.startsWith(";")) continue;
    const [keyword, ...values] = line.trim().split(/\s+/);
    const [first] = values;
    if (first === undefined) continue;
    if (keyword === "nameserver") conf.nameservers = [...(conf.nameservers ?? []), first];
    else if (keyword === "domain") conf.domain = first;
    else if (keyword === "search") conf.search = [...(conf.search ?? []), ...values];
    else if (keyword === "options") conf.options = [...(conf.options ?? []), ...values];
  }
  return conf;
}
