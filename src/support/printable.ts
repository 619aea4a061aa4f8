/**
 * Text for one line of a terminal or a log: what moves a cursor, ends a line or turns the direction of writing is a space. Much of what is
 * told comes from others.
 */
export function printable(text: string): string {
  return text.replaceAll(/\s*[\p{Cc}\p{Cf}\u2028\u2029]+\s*/gu, " ");
}

/** Whether there are control characters in a text (Unicode's Cc): a regular expression with that class takes ten times as long to compile as this to run. */
export function hasControl(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code < 0x20 || (code >= 0x7f && code <= 0x9f)) return true;
  }
  return false;
}
