// JSON as bytes: the characters of its grammar, and where a value of sound text ends.

export const QUOTE = 0x22
const BACKSLASH = 0x5c
export const COLON = 0x3a
export const COMMA = 0x2c
export const OPEN_BRACE = 0x7b
export const CLOSE_BRACE = 0x7d
export const OPEN_BRACKET = 0x5b
export const CLOSE_BRACKET = 0x5d

/** The offset of the first byte from `from` on that is no white space. */
export function skipSpace(raw: Buffer, from: number): number {
  let at = from
  for (;;) {
    const byte = raw[at]
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at
    at++
  }
}

/** The offset after the number, `true`, `false` or `null` that begins at `from`. */
export function scalarEnd(raw: Buffer, from: number): number {
  let at = from
  while (at < raw.length) {
    const byte = raw[at]!
    if (byte === COMMA || byte === CLOSE_BRACE || byte === CLOSE_BRACKET || byte <= 0x20) return at
    at++
  }
  return at
}

/** Bytes that are looked at by hand before memchr is called, which costs as much as 15 of them. */
const BY_HAND = 16

/** The offset after the closing quote of the string that opens at `from`; the end of the bytes when it never closes. */
export function stringEnd(raw: Buffer, from: number): number {
  let at = from + 1
  const byHand = Math.min(at + BY_HAND, raw.length)
  while (at < byHand) {
    const byte = raw[at]
    if (byte === QUOTE) return at + 1
    at += byte === BACKSLASH ? 2 : 1
  }
  while (at < raw.length) {
    const quote = raw.indexOf(QUOTE, at)
    if (quote === -1) break
    let slashes = 0
    while (quote - 1 - slashes >= at && raw[quote - 1 - slashes] === BACKSLASH) slashes++
    if (slashes % 2 === 0) return quote + 1
    at = quote + 1
  }
  return raw.length
}
