// JSON to values and back without rounding: JavaScript's numbers have 53 bits, ids of 64 bits are common in tool arguments.
import { randomBytes } from 'node:crypto'
import { parseJsonText } from './depth.ts'

/** A number that JavaScript would write differently from how it was written, such as 1234567890123456789 (…800) or 1e400 (null). */
export class ExactNumber {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  /** For `writeJson`, and the nearest there is for whoever else makes text of it. */
  toJSON(): number {
    met = true
    return Number(this.text)
  }
}

/** For what is reckoned with; undefined for what is no number. Some print floats with more digits than they have. */
export const numberOf = (value: unknown): number | undefined =>
  value instanceof ExactNumber ? Number(value.text) : typeof value === 'number' ? value : undefined

/** Whether `JSON.stringify` has come upon an `ExactNumber`. It runs through, so that one for all will do. */
let met = false

/** What a number has to look like that may not survive: sixteen digits, or an exponent of three. Most texts hold none. */
const suspect = /[\d.]{16}|\d[eE][+-]?\d{3}/
const number = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/y

/**
 * As `JSON.parse`, but for numbers that do not survive it: those are `ExactNumber`s.
 * @throws SyntaxError, for what nests too deeply, too
 */
export function parseJson(text: string): unknown {
  const value = parseJsonText(text)
  if (!suspect.test(text)) return value
  const found = roundedIn(text)
  if (found.length === 0) return value
  // Each stands aside for a text that nothing else in the document begins with.
  const mark = markFor(text)
  const pieces: string[] = []
  let from = 0
  for (const [start, end] of found) {
    pieces.push(text.slice(from, start), '"', mark, text.slice(start, end), '"')
    from = end
  }
  pieces.push(text.slice(from))
  return JSON.parse(pieces.join(''), (_key, inner: unknown) =>
    typeof inner === 'string' && inner.startsWith(mark) ? new ExactNumber(inner.slice(mark.length)) : inner,
  )
}

/** As `JSON.stringify`, with each `ExactNumber` as it was written. */
export function writeJson(value: unknown): string {
  met = false
  const rounded = JSON.stringify(value)
  if (!met) return rounded
  const mark = markFor(rounded)
  const marked = JSON.stringify(value, function (this: Record<string, unknown>, key, inner: unknown) {
    const own = this[key]
    return own instanceof ExactNumber ? mark + own.text : inner
  })
  return marked.replaceAll(new RegExp(`"${mark}([^"]*)"`, 'g'), '$1')
}

/** A text that is nowhere in this one; drawn, so that nobody can have spelled it with escapes. As long for every text. */
function markFor(text: string): string {
  for (;;) {
    const mark = `~${randomBytes(12).toString('hex')}~`
    if (!text.includes(mark)) return mark
  }
}

/** Where the numbers of sound JSON lie that would be written differently. */
function roundedIn(text: string): [start: number, end: number][] {
  const found: [number, number][] = []
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 0x22) at = stringEnd(text, at)
    else if (code === 0x2d || (code >= 0x30 && code <= 0x39)) {
      number.lastIndex = at
      const [token] = number.exec(text)!
      if (isRounded(token)) found.push([at, at + token.length])
      at += token.length - 1
    }
  }
  return found
}

/** The offset of the quote that closes the string which opens at `from`. */
function stringEnd(text: string, from: number): number {
  for (let quote = text.indexOf('"', from + 1); ; quote = text.indexOf('"', quote + 1)) {
    let slashes = 0
    while (text.charCodeAt(quote - 1 - slashes) === 0x5c) slashes++
    if (slashes % 2 === 0) return quote
  }
}

/** `1.0` and `1e3` are other spellings of what is written; a number of so many digits, or none at all, is another. */
function isRounded(token: string): boolean {
  if (token.length < 16 && !/[eE]/.test(token)) return false
  const value = Number(token)
  return (
    !Number.isFinite(value) ||
    (value === 0 && /^-?[0.]*[1-9]/.test(token)) ||
    digitsOf(String(value)) !== digitsOf(token)
  )
}

/** The digits that count, without point, sign, exponent and zeros at either end. */
function digitsOf(text: string): string {
  const digits = text
    .replace(/[eE].*$/, '')
    .replaceAll(/[-.]/g, '')
    .replace(/^0+/, '')
  // Not by a pattern: one looks through a run of zeros again from each of them, and numbers may be as long as a body.
  let end = digits.length
  while (digits.charCodeAt(end - 1) === 0x30) end--
  return digits.slice(0, end)
}
