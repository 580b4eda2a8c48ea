// What requests of a rollout have in common, as a text: made once for many, and read back in full.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CaseTexts, caseText, type RolloutCase, readCase } from '../src/rollouts/rolloutCase.ts'
import { makeBatchWriter } from '../src/store/batch.ts'
import { openStore } from '../src/store/open.ts'
import { factsOf } from '../src/store/rolloutCases.ts'
import { requestRow } from './support/ledgerRows.ts'

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

it('a case whose transaction was rolled back is made anew for the next row', () => {
  const folder = mkdtempSync(join(tmpdir(), 'turnout-case-'))
  const store = openStore({ file: join(folder, 'turnout.db') })
  try {
    const writer = makeBatchWriter(store.db, store.instance)
    const settle = (id: number, more: object = {}) =>
      ({
        kind: 'settle',
        request: requestRow(id, { rollout: factsOf({ ...one, arrivalSeq: id }), ...more }),
        attempts: [],
      }) as const
    // SQLite takes no text for a number: nothing of the two is written.
    expect(() => writer.write([settle(64), settle(128, { status: 'none' })])).toThrow('status')
    expect(store.db.prepare('SELECT count(*) FROM rollout_case').pluck().get()).toBe(0)
    // Of another case first, so that its number is not the void one's by chance.
    writer.write([settle(192, { rollout: factsOf({ ...one, arm: 'stable' }) }), settle(64)])
    const read = store.db.prepare('SELECT id, rollout, arm, revision FROM requests ORDER BY id').all()
    const common = { rollout: 'to haiku  now', revision: 12 }
    expect(read).toEqual([
      { ...common, id: 64, arm: 'canary' },
      { ...common, id: 192, arm: 'stable' },
    ])
  } finally {
    store.close()
    rmSync(folder, { recursive: true })
  }
})
