// Hides the braces of variable references from the YAML parser, which would take them for a flow mapping's.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: it is about such references, not made of them.

/** Characters of a reference that mean something to YAML, and private ones of the same length, so that places stay true. */
const plain = '{}[],:#'
const hidden = '\uF8D0\uF8D1\uF8D2\uF8D3\uF8D4\uF8D5\uF8D6'

/** One reference on one line, without references inside: those are hidden by the pass before. */
const reference = /\$\{[A-Za-z_]\w*(?::-[^{}\r\n"'\\]*)?\}/g
/** Defaults may hold references, but nobody nests them deeper than this. */
const maxNesting = 4

export interface Shielded {
  readonly text: string
  /** Turns a part of the parsed text back into what was written. */
  unshield(part: string): string
}

/**
 * `{ key: ${NAME} }` is what people write, and to YAML the second `{` opens a mapping. Only what was written is looked at here,
 * never a variable's value, so that no value can change the structure. A text that uses the private characters itself is left alone.
 */
export function shield(text: string): Shielded {
  if ([...hidden].some((char) => text.includes(char))) return { text, unshield: (part) => part }
  let shielded = text
  for (let pass = 0; pass < maxNesting; pass++) {
    const before = shielded
    shielded = before.replace(reference, (found) => swap(found, plain, hidden))
    if (shielded === before) break
  }
  return { text: shielded, unshield: (part) => swap(part, hidden, plain) }
}

const swap = (text: string, from: string, to: string): string =>
  [...text].map((char) => (from.includes(char) ? to[from.indexOf(char)]! : char)).join('')
