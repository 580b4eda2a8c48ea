// Positions of JSON syntax errors: they are right, they are computed by us, and no word of the body is in the message.

import { describe, expect, it } from 'vitest'
import { syntaxErrorOf } from '../src/dialects/json.ts'
import fc from './support/seededCheck.ts'

/**
 * Whether some JSON text begins with `prefix`. Told by completing it in every way that the grammar knows and asking the engine,
 * which shares no line with the code under test.
 */
function isViable(prefix: string): boolean {
  const closers = closersOf(prefix)
  const completions = ['', '0', '"', '":0', ':0', '"a":0', '":0', 'n"', 'n":0']
  for (const word of ['true', 'false', 'null']) for (let cut = 1; cut < 4; cut++) completions.push(word.slice(cut))
  completions.push('e')
  for (let digits = 1; digits <= 4; digits++) completions.push(`${'0'.repeat(digits)}"`, `${'0'.repeat(digits)}":0`)
  return completions.some((more) => parses(prefix + more + closers))
}

function closersOf(prefix: string): string {
  let open = ''
  let inString = false
  for (let at = 0; at < prefix.length; at++) {
    const char = prefix[at]!
    if (inString) {
      if (char === '\\') at++
      else if (char === '"') inString = false
    } else if (char === '"') inString = true
    else if (char === '{') open = `}${open}`
    else if (char === '[') open = `]${open}`
    else if (char === '}' || char === ']') open = open.slice(1)
  }
  return open
}

function parses(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

/** The offset of the first character that no JSON text could have there; the length when only the end is missing. */
function firstError(text: string): number {
  let low = 0
  let high = text.length
  // Every prefix of a viable prefix is viable: search by halves.
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (isViable(text.slice(0, middle))) low = middle
    else high = middle - 1
  }
  return low
}

/** The place that a message tells of, as an offset; undefined for "ends too early". */
function offsetOf(message: string, text: string): number | undefined {
  if (message === 'The body is not valid JSON: it ends too early.') return undefined
  const [, line, column] =
    /^The body is not valid JSON: syntax error at line (\d+), column (\d+)\.$/.exec(message) ?? []
  expect(column, message).toBeDefined()
  const before = text.split('\n').slice(0, Number(line) - 1)
  return before.reduce((sum, passed) => sum + passed.length + 1, 0) + Number(column) - 1
}

/** Where the word, number or escape begins that the character at `at` spoils: a fair place to point at too. */
function tokenStart(text: string, at: number): number {
  let from = at
  while (from > 0 && /[\w.+-]/.test(text[from - 1]!)) from--
  if (text[from - 1] === '\\') from--
  return from
}

function check(text: string): void {
  if (parses(text)) return
  const told = offsetOf(syntaxErrorOf(text), text)
  const first = firstError(text)
  if (told === undefined) expect(first, JSON.stringify(text)).toBe(text.length)
  else {
    expect(told, JSON.stringify(text)).toBeLessThanOrEqual(first)
    expect(told, JSON.stringify(text)).toBeGreaterThanOrEqual(tokenStart(text, first))
  }
}

const fragments = fc.constantFrom(
  ...[
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    ' ',
    '\n',
    '\t',
    '"',
    '"a"',
    '"key":',
    'true',
    'fals',
    'null',
    'nul',
    '0',
    '01',
    '-',
    '-1.5e3',
    '1.',
  ],
  ...['\\', '\\n', '\\u00e9', '\\u12', '\\x', 'é', '🚂', "'", '//', 'NaN', 'undefined', '\u0000', '\u2028'],
)

describe('syntaxErrorOf', () => {
  it('points at the first character that cannot be there', () => {
    const known: [string, string][] = [
      ['', 'it ends too early.'],
      ['   ', 'it ends too early.'],
      ['{"a":1', 'it ends too early.'],
      ['{"a', 'it ends too early.'],
      ['{"a":"b\\', 'it ends too early.'],
      ['[tru', 'it ends too early.'],
      ['{"model":"m",}', 'syntax error at line 1, column 14.'],
      ["{'model':1}", 'syntax error at line 1, column 2.'],
      ['{"a":1 "b":2}', 'syntax error at line 1, column 8.'],
      ['{"a" 1}', 'syntax error at line 1, column 6.'],
      ['{"a":1}x', 'syntax error at line 1, column 8.'],
      ['{\n  "a": 1,\n  "b": oops\n}', 'syntax error at line 3, column 8.'],
      ['[1,]', 'syntax error at line 1, column 4.'],
      ['[1}', 'syntax error at line 1, column 3.'],
      ['"line\nbreak"', 'syntax error at line 1, column 6.'],
      ['[01]', 'syntax error at line 1, column 3.'],
      ['\uFEFF{}', 'syntax error at line 1, column 1.'],
      ['model=gpt', 'syntax error at line 1, column 1.'],
    ]
    for (const [text, end] of known) {
      expect(syntaxErrorOf(text), JSON.stringify(text)).toBe(`The body is not valid JSON: ${end}`)
    }
  })

  it('agrees with an independent oracle on broken documents', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), fc.nat(), fc.nat(3), fragments, (text, place, drop, insert) => {
        const at = place % (text.length + 1)
        check(text.slice(0, at) + insert + text.slice(at + drop))
        check(text.slice(0, at))
      }),
      { seed: 20260103, numRuns: 1200 },
    )
  })

  it('agrees with an independent oracle on heaps of tokens', () => {
    fc.assert(
      fc.property(fc.array(fragments, { maxLength: 12 }), (parts) => check(parts.join(''))),
      { seed: 20260104, numRuns: 2500 },
    )
  })

  it('never quotes the text', () => {
    const words = ['zebra', 'Qwertz', 'прівет', '秘密', '4711999', 'sk-test-planted']
    for (const word of words) {
      for (const text of [
        word,
        `{"${word}`,
        `{"a":${word}}`,
        `{"${word}":1 "${word}"}`,
        `{"a":"${word}\n"}`,
        `[${word}`,
      ]) {
        expect(syntaxErrorOf(text)).not.toContain(word)
        expect(syntaxErrorOf(text)).toMatch(
          /^The body is not valid JSON: (?:it ends too early|syntax error at line \d+, column \d+)\.$/,
        )
      }
    }
  })

  it('needs no stack and no quadratic time for the deepest and longest of bodies', () => {
    expect(syntaxErrorOf('['.repeat(2_000_000))).toContain('ends too early')
    expect(syntaxErrorOf(`[${'{"a":'.repeat(500_000)}!`)).toContain(`column ${1 + 5 * 500_000 + 1}.`)
    expect(syntaxErrorOf(`[${'\n'.repeat(1_000_000)}!`)).toContain('line 1000001, column 1.')
    expect(syntaxErrorOf(`["${'x'.repeat(4_000_000)}`)).toContain('ends too early')
  })
})
