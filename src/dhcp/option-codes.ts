/** Numbers of the DHCP options podlink reads or writes, by the names of RFC 2132 as dhclient and the reference write them. */
export const OPTION = {
  "subnet-mask": 1,
  routers: 3,
  "domain-name-servers": 6,
  "host-name": 12,
  "domain-name": 15,
  "interface-mtu": 26,
  "broadcast-address": 28,
  "static-routes": 33, // classful
  "ntp-servers": 42,
  "vendor-encapsulated-options": 43,
  "dhcp-requested-address": 50,
  "dhcp-lease-time": 51,
  "dhcp-option-overload": 52,
  "dhcp-message-type": 53,
  "dhcp-server-identifier": 54,
  "dhcp-parameter-request-list": 55,
  "dhcp-message": 56,
  "dhcp-max-message-size": 57,
  "dhcp-renewal-time": 58, // T1
  "dhcp-rebinding-time": 59, // T2
  "vendor-class-identifier": 60,
  "dhcp-client-identifier": 61,
  "user-class": 77, // RFC 3004
  fqdn: 81, // RFC 4702
  "domain-search": 119, // RFC 3397
  "classless-static-routes": 121, // RFC 3442
} as const;

export type OptionName = keyof typeof OPTION;

/** Fills space; has neither length nor value. */
export const PAD = 0;
/** Ends a field of options. */
export const END = 255;

/** Values of option 53, RFC 2132 section 9.6. */
export const MESSAGE_TYPE = {
  DISCOVER: 1,
  OFFER: 2,
  REQUEST: 3,
  DECLINE: 4,
  ACK: 5,
  NAK: 6,
  RELEASE: 7,
  INFORM: 8,
} as const;

export type MessageType = keyof typeof MESSAGE_TYPE;

/** The number of an option given by name or as a number 0..255; undefined when it is neither. */
export function optionCode(text: string): number | undefined {
  if (Object.hasOwn(OPTION, text)) return OPTION[text as OptionName];
  return /^(0|[1-9][0-9]{0,2})$/.test(text) && Number(text) <= 255 ? Number(text) : undefined;
}
