/** A line with who said it in front, once: plugins say of their own lines whose they are, other people's programs do not. */
export function saidBy(who: string, line: string): string {
  return line.startsWith(`${who}: `) ? line : `${who}: ${line}`;
}
