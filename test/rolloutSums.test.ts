// Sums of a rollout's rows that the database makes are those that rows give one by one, to the last bit.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { policyFor } from '../src/config/rolloutSettings.ts'
import { planGuards } from '../src/rollouts/guard.ts'
import {
  countsOf,
  type EvidenceRecord,
  formatUnit,
  metrics,
  parseUnit,
  type RolloutPolicy,
  RowFolder,
  sizes,
  type UnitKind,
} from '../src/rollouts/index.ts'
import { makeBatchWriter } from '../src/store/batch.ts'
import { openStore, type Store } from '../src/store/open.ts'
import { factsOf } from '../src/store/rolloutCases.ts'
import { readBetween } from '../src/store/rolloutRows.ts'
import { addRange, findEnd } from '../src/store/rolloutSums.ts'
import { requestRow } from './support/ledgerRows.ts'
import fc from './support/seededCheck.ts'

let folder: string
let store: Store
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-sums-'))
  store = openStore({ file: join(folder, 'turnout.db') })
})
afterEach(() => {
  store.close()
  rmSync(folder, { recursive: true })
})

interface Drawn {
  readonly id: number
  readonly rollout: number
  readonly attempt: number
  readonly revision: number
  readonly arrival: number
  readonly unit: readonly [number, number] | undefined
  readonly record: EvidenceRecord | undefined
  readonly firstAttempt: string
}

/** As many guards as a policy may have: the widest masks. */
const widest = (unit: UnitKind): RolloutPolicy => ({
  ...policyFor(unit),
  sloErrorRate: 0.2,
  guards: metrics.map((metric) => ({
    metric,
    ...(metric in sizes ? { quantiles: [0.5, 0.8, 0.9, 0.95] } : {}),
    maxRatio: 1.2,
    share: 0.05,
    action: 'abort',
  })),
})

const half = fc.oneof(fc.constantFrom(0, 2 ** 31, 2 ** 32 - 1), fc.integer({ min: 0, max: 2 ** 32 - 1 }))

/** Two values of nearly each, so that many rows are alike, or nearly so; among them the largest, so that nothing runs over. */
const drawnRows = (guards: number) => {
  const top = 2 ** (guards + 3) - 1
  const record = fc.record({
    epoch: fc.constantFrom(2_900_000, 1_780_000_000),
    ppm: fc.constantFrom(50_000, 1_000_000),
    canary: fc.boolean(),
    // The highest bit is that of one that hangs.
    seen: fc.oneof({ weight: 5, arbitrary: fc.constantFrom(top, top >> 1) }, { weight: 1, arbitrary: fc.nat(top) }),
    bad: fc.oneof(
      { weight: 5, arbitrary: fc.constant(0) },
      { weight: 5, arbitrary: fc.constantFrom(1, top >> 1) },
      { weight: 1, arbitrary: fc.nat(top >> 1) },
    ),
    shares: fc.constantFrom(undefined, { 0: 2000 }, { 0: 47_100 }, { 0: 47_100, [guards - 1]: 999_999 }),
  })
  const row = fc.record({
    rollout: fc.constantFrom(3, 3, 3, 4),
    attempt: fc.constantFrom(1, 1, 1, 2),
    revision: fc.constantFrom(2, 2 ** 40),
    arrival: fc.integer({ min: 1, max: 2 ** 40 }),
    unit: fc.option(fc.tuple(half, half), { nil: undefined, freq: 4 }),
    record: fc.option(record, { nil: undefined, freq: 9 }),
    firstAttempt: fc.constantFrom('ok', 'auth_failed', 'unavailable', 'server_error', 'model_not_found'),
  })
  return fc.array(row, { minLength: 20, maxLength: 120 })
}

function write(rows: readonly Drawn[]): void {
  const entries = rows.map(({ id, rollout, attempt, revision, arrival, unit, record, firstAttempt }) => ({
    kind: 'settle' as const,
    request: requestRow(id, {
      rollout: factsOf({
        rollout: 'move',
        revision,
        arm: record?.canary ? 'canary' : 'stable',
        propensityPpm: record?.ppm ?? 7,
        assignment: 'hash',
        unit: unit && formatUnit({ high: unit[0], low: unit[1] }),
        arrivalSeq: arrival,
        firstAttemptClass: firstAttempt,
        badMask: record?.bad ?? 0,
        servedArm: 'stable',
        rolloutId: rollout,
        attempt,
        epoch: record?.epoch,
        seen: record?.seen,
        shares: record?.shares,
      }),
    }),
    attempts: [],
  }))
  expect(makeBatchWriter(store.db, store.instance).write(entries)).toEqual([])
}

describe('sums of rows', () => {
  it.each(['request', 'user'] as const)('are those of rows one by one: by %s', (unit) => {
    const policies = [policyFor(unit), widest(unit)]
    expect(policies.map((policy) => planGuards(policy).length)).toEqual([9, 25])
    const rows = fc
      .constantFrom(...policies)
      .chain((policy) => fc.tuple(fc.constant(policy), drawnRows(planGuards(policy).length), fc.nat(130), fc.nat(130)))
    const check = fc.property(rows, ([policy, drawn, a, b]) => {
      store.db.exec('DELETE FROM request_rollout; DELETE FROM request')
      write(drawn.map((row, n) => ({ ...row, id: 1000 + n * 64 })))
      const [from, to] = [1000 + Math.min(a, b) * 64, 1000 + Math.max(a, b) * 64]
      const summed = new RowFolder(policy)
      addRange(store.db, { rollout: 3, attempt: 1, from, to }, summed)
      const single = new RowFolder(policy)
      const records: EvidenceRecord[] = []
      const ids: number[] = []
      for (const { unit: text, ...row } of readBetween(store.db, 3, 1, from, to)) {
        single.add({ ...row, unit: text === undefined ? undefined : parseUnit(text) })
        records.push(row.record)
        ids.push(row.id)
      }
      const fold = summed.fold()
      expect(fold).toEqual(single.fold())
      expect(fold.rows).toBe(records.length)
      expect(fold.counts).toEqual(countsOf(policy, records))
      const range = { rollout: 3, attempt: 1, from, to }
      for (const rows of [0, 1, ids.length - 1, ids.length])
        if (rows >= 0) expect(findEnd(store.db, range, rows)).toBe(ids[rows])
    })
    fc.assert(check, { numRuns: 150 })
  })

  it('read the cases of their rows alone, of the very many that a long attempt has', () => {
    const policy = policyFor('user')
    const record = { epoch: 2_900_000, ppm: 50_000, canary: true, seen: 1023, bad: 0, shares: undefined }
    const common = { rollout: 3, attempt: 1, unit: [1, 2] as const, record, firstAttempt: 'ok' }
    write([1, 2, 3].map((n) => ({ ...common, id: 1000 + n * 64, arrival: n, revision: 2 })))
    store.db.exec(
      `INSERT INTO rollout_case SELECT value + 100, rollout, rollout_id, attempt, revision + value, arm, propensity_ppm, assignment,
         first_attempt_class, served_arm, seen, bad_mask FROM rollout_case, (WITH RECURSIVE n(value) AS
           (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 5000) SELECT value FROM n)`,
    )
    let looked = 0
    // Rows that SQLite hands out.
    const counted = new Proxy(store.db, {
      get(db, name) {
        if (name !== 'prepare') return Reflect.get(db, name) as unknown
        return (sql: string) => {
          const statement = db.prepare(sql)
          const all = statement.all.bind(statement)
          statement.all = (...values: unknown[]) => {
            const rows = all(...values)
            looked += rows.length
            return rows
          }
          return statement
        }
      },
    })
    const summed = new RowFolder(policy)
    addRange(counted, { rollout: 3, attempt: 1, from: 0, to: 2 ** 40 }, summed)
    expect(summed.fold().rows).toBe(3)
    // A group, its case, and the three rows three times: for the rule of hard faults, their units and their cases.
    expect(looked).toBe(11)
  })

  it('are nothing where no canary was ever asked', () => {
    const summed = new RowFolder(policyFor('user'))
    addRange(store.db, { rollout: 3, attempt: 1, from: 0, to: 2 ** 50 }, summed)
    expect(summed.fold()).toEqual(new RowFolder(policyFor('user')).fold())
  })
})

it('reads back every unit that it has written', () => {
  fc.assert(
    fc.property(half, half, (high, low) => {
      const text = formatUnit({ high, low })
      expect(parseUnit(text)).toEqual({ high, low })
      const halves = { high: Number.parseInt(text.slice(0, 8), 16), low: Number.parseInt(text.slice(8), 16) }
      expect(halves).toEqual({ high, low })
    }),
    { numRuns: 300 },
  )
})
