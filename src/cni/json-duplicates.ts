// JSON.parse keeps the last of several values of a key; this finds the keys that had several.

/** An object or a list that is not closed yet. */
interface Open {
  /** Keys above it in lower case, a NUL before each; a list's items have an empty one. */
  readonly path: string;
  readonly isObject: boolean;
  /** The key whose value comes next. */
  key: string;
}

const token = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/**
 * Keys that an object has more than once.
 * @param text JSON without fault
 * @param path keys from the top down to the object, in any case; should several objects stand there, they count as one
 */
export function duplicateKeys(text: string, path: readonly string[]): string[] {
  const wanted = path.map((key) => `\0${key.toLowerCase()}`).join("");
  const seen = new Set<string>();
  const duplicates = new Set<string>();
  const open: Open[] = [];
  let previous = "";
  for (const [word] of text.matchAll(token)) {
    const top = open.at(-1);
    if (word === "{" || word === "[") {
      const place = top === undefined ? "" : `${top.path}\0${top.key.toLowerCase()}`;
      open.push({ path: place, isObject: word === "{", key: "" });
    } else if (word === "}" || word === "]") {
      open.pop();
    } else if (top?.isObject === true && (previous === "{" || previous === ",")) {
      top.key = JSON.parse(word);
      if (top.path === wanted && seen.has(top.key)) duplicates.add(top.key);
      if (top.path === wanted) seen.add(top.key);
    }
    previous = word;
  }
  return [...duplicates];
}
