// Parses JSON that others have written, unless it nests deeper or holds more than anybody means it.
import { UpstreamFault } from './errors.ts'

/** No call, no schema and no reply comes near it. What nests no deeper can also be written again, which recurses. */
const DEEPEST = 2_000

/** Values in one text: twelve thousand tokens with the twenty likeliest in the place of each and their bytes are no more. */
const MOST_VALUES = 2_000_000

/**
 * As `JSON.parse`. Of nothing but brackets the engine makes half a kilobyte for each and needs seconds for a few megabytes, in which
 * nobody is served, and of empty objects side by side it makes gigabytes; compressed they are a few kilobytes, and in a text within JSON,
 * as tool calls have them, no check of the whole sees them.
 * @throws SyntaxError
 */
export function parseJsonText(text: string): unknown {
  if (isSenseless(text))
    throw new SyntaxError(`The text nests deeper than ${DEEPEST} levels, or holds more than ${MOST_VALUES} values.`)
  return JSON.parse(text)
}

/**
 * What is wrong with a reply's text that is no JSON, or no object, as `otherwise` says. Where it only holds too much, it is most likely an
 * answer that was asked for: who is asked again bills it again, and the target is none the worse for it.
 */
export function faultOfText(text: string, otherwise: string): UpstreamFault {
  return tooMuchIn(text) === 'values'
    ? new UpstreamFault('too_large', `The upstream's reply holds more than ${MOST_VALUES} JSON values.`)
    : new UpstreamFault('garbage', otherwise)
}

/** Whether it cannot be meant: deeper than anybody nests, or with more values than anybody sends. */
export const isSenseless = (text: string): boolean => tooMuchIn(text) !== undefined

/** Linear, and only of what a parser would follow so far: it stops at the first error, up to which both see the same. */
function tooMuchIn(text: string): 'levels' | 'values' | undefined {
  // It has to end as often as it begins, and most texts are too short for that.
  if (text.length < 2 * DEEPEST) return undefined
  let depth = 0
  // Each but the outermost follows an opening bracket or a comma.
  let values = 1
  for (let at = 0; at < text.length && values <= MOST_VALUES; at++) {
    const code = text.charCodeAt(at)
    if (code === 0x22) at = stringEnd(text, at)
    else if (code === 0x2c) values++
    else if (code === 0x5b || code === 0x7b) {
      values++
      if (++depth > DEEPEST) return 'levels'
    } else if (code === 0x5d || code === 0x7d) depth--
  }
  return values > MOST_VALUES ? 'values' : undefined
}

/** The offset of the quote that closes the string which opens at `from`; the length when none does. */
export function stringEnd(text: string, from: number): number {
  for (let quote = text.indexOf('"', from + 1); quote !== -1; quote = text.indexOf('"', quote + 1)) {
    let slashes = 0
    while (text.charCodeAt(quote - 1 - slashes) === 0x5c) slashes++
    if (slashes % 2 === 0) return quote
  }
  return text.length
}
