// The text of a simulated reply: readable, seeded, with characters of one to four bytes, in pieces that count as tokens.
import type { Asked } from './asked.ts'
import type { Dice } from './random.ts'

// Some words are longer in bytes than in characters on purpose: a reply must be able to show a broken UTF-8 cut.
const WORDS = (
  'the signal turns green while a slow train waits near the old bridge and every driver reads the board again ' +
  'before points move across the yard under quiet light café naïve Zürich über señal 東京 駅 🚂 🛤️ one more track opens'
).split(' ') as [string, ...string[]]

const QUOTED_CHARACTERS = 60
const RESULT_CHARACTERS = 240
/** Tokens of free text after the opening sentence when no length is asked for. */
const DEFAULT_TAIL = 16

/** Cuts text into the pieces that we call tokens: joined they are the text again, and no character is torn. */
export function cutTokens(text: string): string[] {
  return text.match(/\s*\S{1,8}|\s+/gu) ?? []
}

/** Tokens of a prompt's text by the usual rule of thumb, a token for four bytes; cheap on any length. */
export function countTokens(text: string): number {
  return Math.ceil(Buffer.byteLength(text) / 4)
}

/** The reply's text in tokens; `tokens` is its exact length where given. */
export function writeProse(asked: Asked, tokens: number | undefined, dice: Dice): string[] {
  const opening = cutTokens(openingOf(asked))
  const length = tokens ?? opening.length + DEFAULT_TAIL
  const pieces = opening.slice(0, length)
  let left = 0
  while (pieces.length < length) {
    if (left === 0) left = dice.between(5, 12)
    left--
    const start = pieces.length === 0 ? '' : ' '
    pieces.push(...cutTokens(`${start}${dice.pick(WORDS)}${left === 0 ? '.' : ''}`))
  }
  pieces.length = length
  return pieces
}

/** Thoughts before the reply, as long as asked. */
export function writeThoughts(tokens: number, dice: Dice): string[] {
  const pieces: string[] = []
  while (pieces.length < tokens) pieces.push(...cutTokens(`${pieces.length === 0 ? '' : ' '}${dice.pick(WORDS)}`))
  pieces.length = tokens
  return pieces
}

/** The text up to the first of the stop sequences, and which one it was. */
export function cutAtStop(text: string, stop: readonly string[]): { text: string; sequence: string | undefined } {
  let end = text.length
  let found: string | undefined
  for (const sequence of stop) {
    const at = sequence === '' ? -1 : text.indexOf(sequence)
    if (at === -1 || at >= end) continue
    end = at
    found = sequence
  }
  return { text: text.slice(0, end), sequence: found }
}

function openingOf(asked: Asked): string {
  const { images, audio, files } = asked.media
  const seen = [counted(images, 'image'), counted(audio, 'recording'), counted(files, 'file')].filter(
    (part) => part !== '',
  )
  const sight = seen.length > 0 ? `I received ${seen.join(', ')}. ` : ''
  if (asked.toolResults.length > 0) {
    const results = asked.toolResults.map((result) => `${result.name}: ${shorten(result.text, RESULT_CHARACTERS)}`)
    return `${sight}The tools say — ${results.join('; ')}.`
  }
  const question = shorten(asked.question, QUOTED_CHARACTERS)
  return question === '' ? `${sight}Nothing was asked — so here is some text.` : `${sight}You said “${question}”.`
}

function counted(number: number, noun: string): string {
  return number === 0 ? '' : `${number} ${noun}${number === 1 ? '' : 's'}`
}

/** One line of at most so many characters, never ending inside a surrogate pair. */
function shorten(text: string, characters: number): string {
  const line = text
    .slice(0, characters * 4)
    .replace(/\s+/g, ' ')
    .trim()
  const points = [...line]
  return points.length > characters ? `${points.slice(0, characters).join('')}…` : line
}
