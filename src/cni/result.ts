// The result inside podlink is always that of SPEC 1.1.0 (section "Add Success"); convert.ts speaks the other versions.
// Addresses stay text, and keys we do not know stay where they are.

export interface Interface {
  name: string;
  mac?: string;
  mtu?: number;
  /** Path of the namespace the interface is in; absent on the host. */
  sandbox?: string;
  socketPath?: string;
  pciID?: string;
}

export interface IpConfig {
  /** `10.1.2.3/24`: the address with its network's length. */
  address: string;
  gateway?: string;
  /** Index into the result's interfaces. */
  interface?: number;
}

export interface Route {
  dst: string;
  gw?: string;
  mtu?: number;
  advmss?: number;
  priority?: number;
  table?: number;
  /** Kernel's number, RT_SCOPE_*: 0 universe, 253 link, 254 host. */
  scope?: number;
}

export interface Dns {
  nameservers?: string[];
  domain?: string;
  search?: string[];
  options?: string[];
}

export interface Result {
  interfaces?: Interface[];
  ips?: IpConfig[];
  routes?: Route[];
  dns?: Dns;
}
