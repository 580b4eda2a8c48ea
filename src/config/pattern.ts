// Route names with stars: how they match, and which of two is the more specific.

export const isPattern = (name: string): boolean => name.includes('*')

/**
 * A regular expression for a name with stars, each of which stands for any text, none included. Linear in the length of what
 * it is tried on, because that comes from clients: each middle part is taken at its first place for good (an atomic group,
 * spelled as a lookahead and a back-reference), which loses no match since the next star takes up the rest.
 */
export function patternOf(name: string): RegExp {
  const [first, ...rest] = name.split(/\*+/).map((part) => part.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'))
  const last = rest.pop()!
  const middle = rest.map((part, index) => `(?=([^]*?${part}))(?:\\${index + 1})`).join('')
  return new RegExp(`^${first}${middle}[^]*${last}$`)
}

/** For sorting: more literal text first, then fewer stars, then more text before the first star, then the alphabet. */
export function compareSpecificity(a: string, b: string): number {
  const stars = (name: string) => name.split('*').length - 1
  const literal = (name: string) => name.length - stars(name)
  const prefix = (name: string) => name.indexOf('*')
  return literal(b) - literal(a) || stars(a) - stars(b) || prefix(b) - prefix(a) || (a < b ? -1 : a > b ? 1 : 0)
}
