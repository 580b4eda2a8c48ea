// Folds of the rows of a rollout: a start from them and the rows since is a start from all rows, to the last bit.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { assignBy, policyFor } from '../src/config/rolloutSettings.ts'
import type { KeptRows, NewEvent, RolloutDefinition, RolloutKeeper } from '../src/config/rolloutTypes.ts'
import { bitOf, Evidence, formatUnit, reportOf, type UnitKind, unitIdOf } from '../src/rollouts/index.ts'
import { draftState, type State } from '../src/rollouts/machine.ts'
import { Folding } from '../src/state/rollouts/folding.ts'
import type { Live } from '../src/state/rollouts/live.ts'
import { Trial } from '../src/state/rollouts/trial.ts'
import { type BatchWriter, makeBatchWriter } from '../src/store/batch.ts'
import { openLedger } from '../src/store/ledger.ts'
import { firstIdOf, idsPerRequest } from '../src/store/ledgerId.ts'
import { openStore, type Store } from '../src/store/open.ts'
import { factsOf } from '../src/store/rolloutCases.ts'
import { foldBefore, foldRows } from '../src/store/rolloutFolds.ts'
import { openRollouts } from '../src/store/rollouts.ts'
import { deleteBefore, eraseUser } from '../src/store/upkeep.ts'
import { requestRow } from './support/ledgerRows.ts'
import fc from './support/seededCheck.ts'

const begun = Date.UTC(2026, 4, 4, 10)
const failed = bitOf('first_attempt_error')

let folder: string
let store: Store
let keeper: RolloutKeeper
let writer: BatchWriter
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'turnout-fold-'))
  store = openStore({ file: join(folder, 'turnout.db') })
  keeper = openRollouts(store)
  writer = makeBatchWriter(store.db, store.instance)
})
afterEach(() => {
  store.close()
  rmSync(folder, { recursive: true })
})

interface Made {
  readonly id: number
  readonly state: State
  readonly definition: RolloutDefinition
}

async function make(unit: UnitKind, name = 'move'): Promise<Made> {
  const definition: RolloutDefinition = {
    name,
    route: 'chat',
    stable: { targets: [] },
    canary: { targets: ['up/new'] },
    assign: assignBy(unit),
    course: { steps: [], open: true },
    policy: { ...policyFor(unit), sloErrorRate: 0.2 },
    excludeKeys: [],
    inFlight: 'redispatch',
    notify: [],
  }
  const draft = draftState(begun)
  const event = (verb: NewEvent['verb'], to: State): NewEvent => ({
    ...{
      revision: to.revision,
      at: begun,
      actor: 'test',
      verb,
      from: '',
      to: to.phase,
      step: 0,
      weightPpm: to.weightPpm,
    },
    ...{ attempt: to.attempt, cause: 'operator', reason: 'test', evidence: null },
  })
  const made = {
    definition,
    specHash: 'x',
    seed: 'seed',
    origin: 'admin',
    createdBy: 'test',
    createdAt: begun,
  } as const
  const id = await keeper.create({ ...made, state: draft }, event('create', draft))
  const state: State = { ...draft, revision: 2, phase: 'stepping', attempt: 1, weightPpm: 250_000, stepRevision: 40 }
  await keeper.change(id, 1, state, event('start', state))
  return { id, state, definition }
}

/** What comes of one request: its unit among a few, whether it fails, and at which revision it comes. */
interface Asked {
  readonly unit: number
  readonly isBad: boolean
  readonly revision: number
  /** Of a kind that does not heal by itself. */
  readonly isHard?: boolean
}

/** Sends requests through an evidence, and writes their rows. */
function write({ id, definition }: Made, asked: readonly Asked[], from = 0): void {
  const evidence = new Evidence(definition.policy, begun)
  const entries = asked.map(({ unit: number, isBad, revision, isHard }, n) => {
    const kind = isHard ? 'auth_failed' : 'server_error'
    const at = begun + (from + n) * 700
    const unit = unitIdOf('seed', `u${number}`)
    const isSticky = definition.policy.unit !== 'request' && number > 0
    const arrival = { now: at, bucket: unit.high, weightPpm: revision < 30 ? 50_000 : 250_000 }
    const ticket = evidence.admit({ ...arrival, unit: isSticky ? unit : undefined })
    if (isBad) evidence.fail(ticket, at, failed, kind)
    else evidence.begin(ticket, at, 100 + (n % 50))
    evidence.end(ticket, at, { bits: n % 9 === 0 ? bitOf('truncated') : 0, latency: 500 + (n % 70) })
    const record = evidence.recordOf(ticket)
    return {
      kind: 'settle',
      request: requestRow(firstIdOf(at) + idsPerRequest * (n % 3), {
        user: `n_${number}`,
        rollout: factsOf({
          rollout: 'move',
          revision,
          arm: record.canary ? 'canary' : 'stable',
          propensityPpm: record.ppm,
          assignment: 'hash',
          unit: isSticky ? formatUnit(unit) : undefined,
          arrivalSeq: from + n + 1,
          firstAttemptClass: isBad ? kind : 'ok',
          badMask: record.bad,
          servedArm: 'stable',
          rolloutId: id,
          attempt: 1,
          epoch: record.epoch,
          seen: record.seen,
          shares: record.shares,
        }),
      }),
      attempts: [],
    } as const
  })
  expect(writer.write(entries)).toEqual([])
}

/** All that a start knows, and what it would say of requests to come. */
function started({ definition, state }: Made, rows: KeptRows): object {
  const trial = new Trial(definition, state)
  const found = trial.restore(rows)
  const { evidence } = trial
  const { canaryInStep } = evidence
  const units = [...evidence.units.entries()].map((unit) => `${formatUnit(unit)} ${unit.mask}`).sort()
  const counts = evidence.counts()
  const report = reportOf(evidence, state.weightPpm)
  const next = [250_000, 20_000, 600_000].map((weightPpm) => {
    const unit = unitIdOf('seed', `new at ${weightPpm}`)
    const now = begun + 1e9
    const ticket = evidence.admit({ now, bucket: unit.high, weightPpm, unit })
    evidence.fail(ticket, now, failed | bitOf('truncated'), 'server_error')
    return evidence.recordOf(ticket)
  })
  return { found, canaryInStep, units, counts, report, next, hard: faultsUntilHarm(evidence) }
}

/** How many more hard faults of the canary it takes: fewer by those that were there. */
function faultsUntilHarm(evidence: Evidence): number | string {
  const now = begun + 2e9
  for (let n = 0; n < 12; n++) {
    if (evidence.harm) return evidence.harm.cause === 'hard' ? `${n}: ${evidence.harm.reason}` : n
    const ticket = evidence.admit({ now, bucket: 0, weightPpm: 500_000 })
    evidence.fail(ticket, now, 0, 'auth_failed')
  }
  return 'never'
}

const fromAll = (made: Made): object =>
  started(made, { folds: [], records: keeper.records(made.id, 1, begun), foldedTo: 0 })
const fromFolds = (made: Made): object => started(made, keeper.rows(made.id, 1, begun))

const asks = (n: number): Asked[] =>
  Array.from({ length: n }, (_, i) => ({ unit: (i * 7919) % 23, isBad: (i * 31) % 11 === 0, revision: 20 + (i % 40) }))

describe('a start from folds', () => {
  it.each(['request', 'user'] as const)('is a start from all rows, wherever they were folded: by %s', async (unit) => {
    const asked = fc.record({
      unit: fc.integer({ min: 0, max: 12 }),
      isBad: fc.boolean(),
      isHard: fc.boolean(),
      revision: fc.integer({ min: 20, max: 60 }),
    })
    let runs = 0
    const run = fc.asyncProperty(fc.array(fc.array(asked, { maxLength: 25 }), { maxLength: 5 }), async (parts) => {
      store.db.exec('DELETE FROM request_rollout; DELETE FROM request; DELETE FROM rollout_fold')
      const made = await make(unit, `move-${++runs}`)
      let rows = 0
      for (const part of parts) {
        write(made, part, rows)
        rows += part.length
        const folded = foldRows(store.db, made.id, 1, firstIdOf(begun + rows * 700))
        expect(folded).toEqual({ rows: part.length, isDone: true })
        expect(fromFolds(made)).toEqual(fromAll(made))
      }
      write(made, [{ unit: 1, isBad: true, revision: 50 }], rows)
      expect(fromFolds(made)).toEqual(fromAll(made))
      expect([...keeper.rows(made.id, 1, begun).records]).toHaveLength(1)
    })
    await fc.assert(run, { numRuns: 15 })
  })

  it('reads what has come since, and no row twice', async () => {
    const made = await make('user')
    write(made, asks(300))
    // In the middle of the rows: those behind it are read one by one.
    expect(foldRows(store.db, made.id, 1, firstIdOf(begun + 100 * 700))).toEqual({ rows: 100, isDone: true })
    expect([...keeper.rows(made.id, 1, begun).records]).toHaveLength(200)
    expect(foldRows(store.db, made.id, 1, firstIdOf(begun + 50 * 700))).toEqual({ rows: 0, isDone: true })
    expect(foldRows(store.db, made.id, 1, firstIdOf(begun + 250 * 700))).toEqual({ rows: 150, isDone: true })
    expect(keeper.rows(made.id, 1, begun).folds.map(({ rows }) => rows)).toEqual([100, 150])
    expect(fromFolds(made)).toEqual(fromAll(made))
  })

  it('folds many rows in parts', async () => {
    const made = await make('request')
    write(made, asks(10_500))
    const before = firstIdOf(begun + 20_000 * 700)
    expect(foldRows(store.db, made.id, 1, before)).toEqual({ rows: 10_000, isDone: false })
    expect(foldRows(store.db, made.id, 1, before)).toEqual({ rows: 500, isDone: true })
    expect(fromFolds(made)).toEqual(fromAll(made))
  })

  it('passes over folds of another form, and those of attempts that are over are thrown away', async () => {
    const made = await make('request')
    const other = await make('request', 'other')
    write(made, asks(100))
    foldRows(store.db, made.id, 1, firstIdOf(begun + 50 * 700))
    const odd = store.db.prepare('SELECT fold FROM rollout_fold').pluck().get() as Buffer
    store.db.prepare('INSERT INTO rollout_fold VALUES (?, 1, 5, ?)').run(other.id, odd)
    store.db.prepare('UPDATE rollout_state SET attempt = 2 WHERE id = ?').run(other.id)
    foldRows(store.db, made.id, 1, firstIdOf(begun + 70 * 700))
    expect(store.db.prepare('SELECT rollout FROM rollout_fold').pluck().all()).toEqual([made.id, made.id])
    // What another version of the program has written.
    const { serialize } = await import('node:v8')
    store.db
      .prepare('UPDATE rollout_fold SET fold = ? WHERE to_id = ?')
      .run(serialize({ form: 99 }), firstIdOf(begun + 70 * 700))
    expect(keeper.rows(made.id, 1, begun).folds).toHaveLength(1)
    expect(fromFolds(made)).toEqual(fromAll(made))
    // An attempt that is over is not folded, and leaves nothing.
    expect(foldRows(store.db, made.id, 2, firstIdOf(begun + 1e6))).toEqual({ rows: 0, isDone: true })
    for (let to = 10; to < 40; to++)
      store.db.prepare('INSERT INTO rollout_fold VALUES (?, 1, ?, ?)').run(made.id, to, odd)
    store.db.prepare("UPDATE rollout_state SET phase = 'rolled_back' WHERE id = ?").run(made.id)
    expect(foldRows(store.db, made.id, 1, 0)).toEqual({ rows: 0, isDone: false })
    expect(foldRows(store.db, made.id, 1, 0)).toEqual({ rows: 0, isDone: true })
    expect(store.db.prepare('SELECT count(*) FROM rollout_fold').pluck().get()).toBe(0)
  })

  it('knows nothing of a user who was erased', async () => {
    const made = await make('user')
    write(made, asks(200))
    foldRows(store.db, made.id, 1, firstIdOf(begun + 80 * 700))
    foldRows(store.db, made.id, 1, firstIdOf(begun + 200 * 700))
    const unit = unitIdOf('seed', 'u7')
    const knows = (): boolean =>
      keeper.rows(made.id, 1, begun).folds.some(({ units }) => units.includes(unit.high) && units.includes(unit.low))
    expect(knows()).toBe(true)
    while (eraseUser(store.db, 'n_7', 3) > 0);
    expect(knows()).toBe(false)
    expect(fromFolds(made)).toEqual(fromAll(made))
    foldRows(store.db, made.id, 1, firstIdOf(begun + 200 * 700))
    expect(knows()).toBe(false)
    expect(fromFolds(made)).toEqual(fromAll(made))
  })
})

it('a step has what came at it, whenever that is decided: the same before a start and after it', async () => {
  const { definition, state } = await make('request')
  const trial = new Trial(definition, state)
  let arrival = 0
  const came = (revision: number) => {
    const ticket = trial.evidence.admit({ now: begun, bucket: 0, weightPpm: 250_000 })
    return { revision, ticket, arrival: ++arrival, unit: undefined, firstAttempt: 'ok' }
  }
  const all = [came(40), came(41)]
  const next = { ...state, revision: 42, stepRevision: 42 }
  trial.follow(next)
  all.push(came(42), came(42), came(43))
  for (const { ticket } of all) {
    trial.evidence.begin(ticket, begun + 100, 100)
    trial.evidence.end(ticket, begun + 100, { bits: 0 })
  }
  expect([trial.evidence.canary, trial.evidence.canaryInStep]).toEqual([5, 3])
  const again = new Trial(definition, next)
  again.restore({
    folds: [],
    records: all.map(({ ticket, ...row }) => ({ ...row, id: row.arrival, record: trial.evidence.recordOf(ticket) })),
    foldedTo: 0,
  })
  expect([again.evidence.canary, again.evidence.canaryInStep]).toEqual([5, 3])
})

it('the ledger folds in its keeper, when all that was handed over is written', async () => {
  const made = await make('user')
  write(made, asks(400))
  const ledger = openLedger(store)
  try {
    const id = ledger.nextRequestId()
    const settled = ledger.settle(requestRow(id), [])
    expect(await ledger.written()).toBe(true)
    expect(store.db.prepare('SELECT count(*) FROM request WHERE id = ?').pluck().get(id)).toBe(1)
    await settled
    expect(await ledger.keeper.fold(made.id, 1, firstIdOf(begun + 350 * 700))).toBe(350)
    expect(fromFolds(made)).toEqual(fromAll(made))
  } finally {
    await ledger.close()
  }
  expect(await ledger.written()).toBe(false)
})

it.each([
  ['never folded before', []],
  ['folded up to a later row, and further', [100, 250, 300]],
])('rows that retention deletes go on counting: %s', async (_, folded) => {
  const made = await make('user')
  write(made, asks(400))
  for (const rows of folded) foldRows(store.db, made.id, 1, firstIdOf(begun + rows * 700))
  const all = fromAll(made)
  const ledger = openLedger(store)
  try {
    expect(await ledger.keeper.retain(firstIdOf(begun + 200 * 700))).toBe(200)
    expect([...keeper.records(made.id, 1, begun)]).toHaveLength(200)
    expect(fromFolds(made)).toEqual(all)
    // What is made anew where a user is erased is made of rows that are there.
    while (eraseUser(store.db, 'n_7', 3) > 0);
    await ledger.keeper.fold(made.id, 1, firstIdOf(begun + 400 * 700))
    expect(keeper.rows(made.id, 1, begun).folds.reduce((sum, { rows }) => sum + rows, 0)).toBe(400)
    // And what is deleted later.
    expect(await ledger.keeper.retain(firstIdOf(begun + 390 * 700))).toBe(190)
    expect(keeper.rows(made.id, 1, begun).folds.reduce((sum, { rows }) => sum + rows, 0)).toBe(400)
  } finally {
    await ledger.close()
  }
})

it('what a canary has cost is added up from its own rows alone, however many others there are', async () => {
  const made = await make('user')
  const asked: string[] = []
  const { prepare } = store.db
  vi.spyOn(store.db, 'prepare').mockImplementation((sql: string) => {
    asked.push(sql)
    return prepare.call(store.db, sql)
  })
  keeper.spent(made.id, 1, begun)
  deleteBefore(store.db, firstIdOf(begun), 100)
  const sums = asked.filter((sql) => sql.includes('sum(a.cost)'))
  expect(sums).toHaveLength(2)
  for (const sql of sums) {
    const given = sql.includes('@') ? { from: 0, rollout: 1, attempt: 1 } : 0
    const plan = prepare.call(store.db, `EXPLAIN QUERY PLAN ${sql}`).all(given) as { detail: string }[]
    expect(plan.map(({ detail }) => detail).filter((detail) => /SCAN|AUTOMATIC/.test(detail))).toEqual([])
  }
})

it('rows that retention is deleting go on counting where a user of theirs is erased meanwhile', async () => {
  const made = await make('user')
  write(made, asks(400))
  const line = firstIdOf(begun + 200 * 700)
  const counted = (): number => keeper.rows(made.id, 1, begun).folds.reduce((sum, { rows }) => sum + rows, 0)
  foldRows(store.db, made.id, 1, firstIdOf(begun + 300 * 700))
  // Folded for good, and nothing is deleted yet; then half of it is; then all.
  while (!foldBefore(store.db, line));
  for (const user of ['n_7', 'n_8', 'n_9']) {
    while (eraseUser(store.db, user, 3) > 0);
    while (!foldRows(store.db, made.id, 1, firstIdOf(begun + 400 * 700)).isDone);
    expect(counted()).toBe(400)
    deleteBefore(store.db, line, 100)
  }
  expect([...keeper.records(made.id, 1, begun)]).toHaveLength(200)
  // Of the rows that are there nothing tells of them any more.
  const named = store.db.prepare("SELECT count(*) FROM request WHERE user IN ('n_7', 'n_8', 'n_9')").pluck()
  expect(named.get()).toBe(0)
})

it('what a start had to read row by row is folded at once, although no request comes', async () => {
  const made = await make('user')
  write(made, asks(2500))
  foldRows(store.db, made.id, 1, firstIdOf(begun + 1000 * 700))
  const trial = new Trial(made.definition, made.state)
  trial.restore(keeper.rows(made.id, 1, begun))
  const ledger = openLedger(store)
  try {
    const { written, keeper: upkeep } = ledger
    const troubles: string[] = []
    const folding = new Folding({ firstIdOf, written, fold: upkeep.fold }, (text) => troubles.push(text))
    folding.tick({ ...made, name: 'move' } as unknown as Live, trial, begun + 3000 * 700)
    await expect.poll(() => keeper.rows(made.id, 1, begun).folds.map(({ rows }) => rows)).toEqual([1000, 1500])
    expect(troubles).toEqual([])
  } finally {
    await ledger.close()
  }
})
