// JSON that is read and written again: numbers keep the value that they were written with, everything else is as the engine has it.
import { describe, expect, it } from 'vitest'
import { ExactNumber, parseJson, writeJson } from '../src/dialects/exactJson.ts'
import fc from './support/seededCheck.ts'

const again = (text: string) => writeJson(parseJson(text))

describe('numbers', () => {
  it.each([
    '9007199254740993',
    '-1234567890123456789',
    '18446744073709551616',
    '0.1234567890123456789',
    '12345678901234567.5e3',
    '1e400',
    '-1e400',
    '1e-400',
    '[1234567890123456789,1,1234567890123456789]',
    '{"a":{"b":[{"id":1234567890123456789}]},"c":"1234567890123456789"}',
    '{"1234567890123456789":9007199254740993,"\\"9007199254740993":1}',
    '{"####":"#\\"####","a":"####9007199254740993","b":9007199254740993}',
  ])('%s is written as it was', (text) => {
    expect(again(text)).toBe(text)
  })

  it.each([
    ['1.0', '1'],
    ['1e3', '1000'],
    ['0.30000000000000004', '0.30000000000000004'],
    ['12345678901234567000', '12345678901234567000'],
    ['1.0000000000000000000', '1'],
    ['0.0e-400', '0'],
  ])('%s loses nothing as %s and is a plain number', (text, written) => {
    expect(parseJson(text)).toBe(Number(text))
    expect(again(text)).toBe(written)
  })

  it('is a number to whoever makes text of it by other means', () => {
    expect(JSON.stringify(parseJson('[1234567890123456789]'))).toBe('[1234567890123456800]')
  })
})

const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { depthSize: 'small' },
    fc.bigInt({ min: -(2n ** 80n), max: 2n ** 80n }),
    fc.string({ unit: fc.constantFrom('#', '"', '\\', '1234567890123456789', 'a', 'ü', '\ud83d') }),
    fc.constantFrom(null, true, 0, 1.5),
    fc.array(tie('any'), { maxLength: 4 }),
    fc.dictionary(fc.string({ unit: fc.constantFrom('#', '"', '1234567890123456789', 'b') }), tie('any'), {
      maxKeys: 4,
    }),
  ),
})).any

/** The same value, written by nobody under test. */
function textOf(from: unknown): string {
  if (typeof from === 'bigint') return String(from)
  if (Array.isArray(from)) return `[${from.map(textOf).join(',')}]`
  if (typeof from !== 'object' || from === null) return JSON.stringify(from)
  return `{${Object.entries(from)
    .map(([name, inner]) => `${JSON.stringify(name)}:${textOf(inner)}`)
    .join(',')}}`
}

it('any document comes out as it went in, whatever its texts look like', () => {
  fc.assert(
    fc.property(value, (from) => {
      const text = textOf(from)
      const written = again(text)
      expect(digitsIn(written)).toEqual(digitsIn(text))
      expect(JSON.parse(written)).toEqual(JSON.parse(text))
    }),
    { numRuns: 500 },
  )
})

const digitsIn = (text: string) => [...text.matchAll(/(?<=^|[[,:])-?\d+(?=$|[\],}])/g)].map(([found]) => found).sort()

it('what is no JSON is an error, as ever', () => {
  for (const text of ['', '{', '1234567890123456789x', '{"a":01234567890123456789}'])
    expect(() => parseJson(text)).toThrow(SyntaxError)
})

it('many numbers beside a text of nothing but one character take no more room than both', () => {
  const text = `["${'#'.repeat(200_000)}"${',1234567890123456789'.repeat(2_000)}]`
  const begun = process.memoryUsage().heapUsed
  expect(again(text)).toBe(text)
  expect(process.memoryUsage().heapUsed - begun).toBeLessThan(100e6)
})

it('a number as long as a body takes no longer than reading it', () => {
  const text = `[1${'0'.repeat(2_000_000)}1]`
  const [number] = parseJson(text) as [ExactNumber]
  expect(number).toBeInstanceOf(ExactNumber)
  expect(writeJson([number])).toBe(text)
})
