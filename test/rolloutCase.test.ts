// What requests of a rollout have in common, as a text: made once for many, and read back in full.
import { describe, expect, it } from 'vitest'
import { CaseTexts, caseText, type RolloutCase, readCase } from '../src/rollouts/rolloutCase.ts'

const one: RolloutCase = {
  rollout: 'to haiku  now',
  rolloutId: 7,
  attempt: 2,
  revision: 12,
  arm: 'canary',
  propensityPpm: 50_000,
  assignment: 'hash',
  firstAttemptClass: 'ok',
  servedArm: 'canary',
  seen: 2 ** 28 - 1,
  badMask: 3,
}

const others: Partial<RolloutCase>[] = [
  { rollout: 'to haiku now' },
  { rolloutId: 8 },
  { attempt: 3 },
  { revision: 13 },
  { arm: 'stable' },
  { propensityPpm: 250_000 },
  { assignment: 'pinned' },
  { firstAttemptClass: 'cut' },
  { servedArm: 'stable' },
  { servedArm: undefined },
  { seen: 511 },
  { seen: undefined },
  { badMask: 0 },
]

describe('the text of a case', () => {
  it('holds all of it, names with spaces too', () => {
    for (const other of [{}, ...others]) {
      const said = { ...one, ...other }
      const read = readCase(caseText(said))
      expect(read).toEqual(Object.fromEntries(Object.entries(said).map(([name, value]) => [name, String(value ?? '')])))
    }
  })

  it('takes no number that is not whole', () => {
    expect(() => caseText({ ...one, badMask: 0.5 })).toThrow('badMask is 0.5, not a whole number')
    expect(() => caseText({ ...one, seen: Number.NaN })).toThrow('seen')
  })

  it('is that of the case, whatever came before', () => {
    const texts = new CaseTexts()
    const many = Array.from({ length: 40 }, (_, badMask) => ({ ...one, badMask: badMask + 100 }))
    const all = [one, ...others.map((other) => ({ ...one, ...other })), ...many]
    for (let n = 0; n < 3000; n++) {
      const said = { ...all[(n * 31 + (n % 7)) % all.length]! }
      expect(texts.textOf(said)).toBe(caseText(said))
    }
  })

  it('is made once for those that come again', () => {
    const texts = new CaseTexts()
    const made = texts.textOf({ ...one })
    texts.textOf({ ...one, badMask: 9 })
    // Not made anew: numbers are looked at when a text is made.
    const isSafeInteger = Number.isSafeInteger
    Number.isSafeInteger = () => false
    try {
      expect(texts.textOf({ ...one })).toBe(made)
      expect(() => texts.textOf({ ...one, badMask: 10 })).toThrow()
    } finally {
      Number.isSafeInteger = isSafeInteger
    }
  })
})
