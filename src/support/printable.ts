/**
 * Text for one line of a terminal or a log: what moves a cursor, ends a line or turns the direction of writing is a space. Much of what is
 * told comes from others.
 */
export function printable(text: string): string {
  return text.replaceAll(/\s*[\p{Cc}\p{Cf}\u2028\u2029]+\s*/gu, " ");
}
