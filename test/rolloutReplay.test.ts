// The hard rule by the rows: what the gateway decides while requests come and what is recomputed from their rows are one decision.
import { afterEach, describe, expect, it } from 'vitest'
import type { StoredRecord, StoredRollout } from '../src/config/rolloutTypes.ts'
import {
  bitOf,
  breakerOpen,
  defaultPolicy,
  Evidence,
  formatUnit,
  parseUnit,
  type RolloutPolicy,
  RowFolder,
  type Ticket,
  unitIdOf,
} from '../src/rollouts/index.ts'
import { firstHarm, replay } from '../src/state/rollouts/replay.ts'
import { openStore } from '../src/store/open.ts'
import { openRollouts } from '../src/store/rollouts.ts'
import { type RolloutGateway, startRollout } from './support/rolloutLoad.ts'
import fc from './support/seededCheck.ts'
import { runTurnout } from './support/turnoutProcess.ts'

const error = bitOf('first_attempt_error')
const noon = Date.UTC(2026, 0, 5, 12)
/** The hard rule alone: nothing else may decide. */
const policy: RolloutPolicy = {
  ...defaultPolicy,
  unit: 'request',
  slowStart: 1000,
  guards: [{ metric: 'first_attempt_error', maxRatio: 1.25, share: 0.4, action: 'watch' }],
}

/** What comes of a request: `slow…` shows nothing in time, whatever comes then. */
type Outcome =
  | 'ok'
  | 'auth_failed'
  | 'model_not_found'
  | 'unsupported_parameter'
  | 'server_error'
  | 'unavailable'
  | 'cancelled'
  | 'slow'
  | 'slow_auth_failed'
interface Step {
  readonly canary: boolean
  readonly outcome: Outcome
  /** Where units stay together. */
  readonly unit?: string
}

/** @returns the request with which harm was found while they came, and when it is looked for in their rows */
function both(steps: readonly Step[], judgedBy = policy): { live: number | undefined; rows: number | undefined } {
  const evidence = new Evidence(judgedBy, noon)
  const rows: StoredRecord[] = []
  let now = noon
  let live: number | undefined
  for (const [index, step] of steps.entries()) {
    now = pass(evidence, step, now, rows, index, index)
    if (evidence.harm?.cause === 'hard') live ??= index
  }
  const stored = { definition: { policy: judgedBy }, state: { attemptAt: noon, weightPpm: 0 } } as StoredRollout
  const { found } = replay(stored, rows)
  expect(found === undefined || found.cause === 'hard').toBe(true)
  return { live, rows: found?.request }
}

/** @returns the time at which it is over */
function pass(
  evidence: Evidence,
  step: Step,
  now: number,
  rows: StoredRecord[],
  arrival: number,
  id: number,
  weightPpm = 500_000,
): number {
  const { canary, outcome } = step
  const unit = step.unit === undefined ? undefined : unitIdOf('seed', step.unit)
  const ticket = evidence.admit({ now, bucket: canary ? 0 : 2 ** 32 - 1, weightPpm, unit })
  const then = now + (outcome.startsWith('slow') ? 1500 : 10)
  finish(evidence, ticket, then, outcome)
  evidence.tick(then + 10)
  const firstAttempt = outcome === 'slow' ? 'ok' : outcome.replace('slow_', '')
  const record = evidence.recordOf(ticket)
  rows.push({ id, revision: 2, arrival, unit: unit && formatUnit(unit), firstAttempt, record })
  return then + 10
}

function finish(evidence: Evidence, ticket: Ticket, now: number, outcome: Outcome): void {
  if (outcome === 'cancelled') evidence.leave(ticket, now)
  else if (outcome === 'ok' || outcome === 'slow') {
    evidence.begin(ticket, now, undefined)
    evidence.end(ticket, now, { bits: 0 })
  } else evidence.fail(ticket, now, error, outcome === 'unavailable' ? breakerOpen : outcome.replace('slow_', ''))
}

const canary = (outcome: Outcome): Step => ({ canary: true, outcome })
const stable = (outcome: Outcome): Step => ({ canary: false, outcome })
const bad = canary('auth_failed')
const asks = (unit: string): Step => ({ ...canary('unsupported_parameter'), unit })
const together: RolloutPolicy = { ...policy, unit: 'conversation', hard: [...policy.hard, 'unsupported_parameter'] }
const good = stable('ok')

describe('the hard rule', () => {
  it.each<[string, Step[], number | undefined]>([
    ['three in a row, stable well', [bad, good, bad, bad], 3],
    ['two, a success, two', [bad, good, bad, canary('ok'), bad, good, bad], undefined],
    ['three, and stable only before them', [good, bad, bad, bad], undefined],
    ['three, and stable as bad', [bad, stable('auth_failed'), good, bad, bad], undefined],
    ['three, then stable is well', [bad, bad, bad, good], 3],
    ['nine, where stable gets no requests', Array.from({ length: 9 }, () => bad), 8],
    ['another fault between them', [bad, good, bad, canary('server_error'), bad], undefined],
    ['its breaker between them', [bad, good, canary('unavailable'), canary('unavailable')], 3],
    ['its breaker before them', [canary('unavailable'), bad, good, bad, bad], 4],
    ['one that hangs between them', [bad, good, canary('slow'), bad, bad], 4],
    ['one that hangs and then says so', [bad, good, canary('slow_auth_failed'), bad], undefined],
    ['a client that leaves between them', [bad, good, canary('cancelled'), bad, bad], 4],
  ])('decides the same while they come and by their rows: %s', (_, steps, at) => {
    expect(both(steps)).toEqual({ live: at, rows: at })
  })

  it.each<[string, Step[], number | undefined]>([
    ['three of them', [asks('a'), good, asks('b'), asks('c')], 3],
    ['one of them three times', [asks('a'), good, asks('a'), asks('a')], undefined],
    ['and another', [asks('a'), good, asks('a'), asks('b'), asks('a'), asks('b'), asks('c')], 6],
    ['but not what is no fault of its own', [bad, good, bad, bad].map((step) => ({ ...step, unit: 'a' })), 3],
  ])('takes what conversations ask for as told once by each: %s', (_, steps, at) => {
    expect(both(steps, together)).toEqual({ live: at, rows: at })
  })

  it('and so whatever comes', () => {
    const outcome = fc.oneof(
      { weight: 4, arbitrary: fc.constant<Outcome>('auth_failed') },
      {
        weight: 3,
        arbitrary: fc.constantFrom<Outcome>(
          'ok',
          'server_error',
          'unavailable',
          'cancelled',
          'slow',
          'slow_auth_failed',
        ),
      },
    )
    const step = fc.oneof(
      { weight: 3, arbitrary: outcome.map(canary) },
      { weight: 1, arbitrary: fc.constantFrom<Outcome>('ok', 'ok', 'auth_failed', 'slow').map(stable) },
    )
    let found = 0
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { live, rows } = both(steps)
        if (live !== undefined) found++
        expect(rows).toBe(live)
      }),
      { numRuns: 2000 },
    )
    expect(found).toBeGreaterThan(200)
  })
})

describe('the hard rule over restarts', () => {
  /** What a process has, that begins with these rows: of the first ones folds, which end at these places among their ids. */
  function restarted(rows: readonly StoredRecord[], ends: readonly number[], judgedBy = policy): Evidence {
    const evidence = new Evidence(judgedBy, noon)
    const byId = [...rows].sort((a, b) => a.id - b.id)
    const places = [...ends.map((end) => end % (rows.length + 1)).sort((a, b) => a - b), rows.length]
    let from = 0
    const folds = places.map((to, n) => {
      const folder = new RowFolder(judgedBy)
      for (const { unit, ...row } of byId.slice(from, to))
        folder.add({ ...row, unit: unit === undefined ? undefined : parseUnit(unit) })
      from = to
      return n < ends.length ? folder.fold() : { ...folder.fold(), hard: folder.hard.list() }
    })
    evidence.recall(folds)
    evidence.merge(folds.flatMap(({ counts }) => counts))
    return evidence
  }

  const outcome = fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom<Outcome>('auth_failed', 'model_not_found') },
    { weight: 2, arbitrary: fc.constantFrom<Outcome>('ok', 'unavailable', 'cancelled', 'slow') },
  )
  const step = fc.oneof(
    { weight: 2, arbitrary: outcome.map(canary) },
    { weight: 3, arbitrary: fc.constantFrom<Outcome>('ok', 'ok', 'ok', 'auth_failed', 'slow').map(stable) },
  )
  /** `late`: how far behind it the requests that came after it were at the door, so that ids are not in the order of arrival. */
  const lives = fc.array(fc.record({ step, late: fc.nat(3), ends: fc.option(fc.array(fc.nat(), { maxLength: 3 })) }), {
    maxLength: 40,
  })

  it('knows what a conversation has asked for before', () => {
    const rows: StoredRecord[] = []
    const steps = [asks('a'), good, asks('b')]
    const evidence = new Evidence(together, noon)
    for (const [index, step] of steps.entries()) pass(evidence, step, noon + index * 20, rows, index, index)
    const again = restarted(rows, [2], together)
    pass(again, asks('a'), noon + 60, rows, 3, 3)
    expect(again.harm).toBeUndefined()
    pass(again, asks('c'), noon + 80, rows, 4, 4)
    expect(again.harm?.cause).toBe('hard')
  })

  it('goes on with the run that was under way, wherever rows were folded', () => {
    let found = 0
    let over = 0
    fc.assert(
      fc.property(lives, (life) => {
        let evidence = new Evidence(policy, noon)
        const rows: StoredRecord[] = []
        let now = noon
        let live: number | undefined
        let sinceStart = 0
        for (const [index, { step, late, ends }] of life.entries()) {
          if (ends && live === undefined) {
            evidence = restarted(rows, ends)
            sinceStart = 0
            expect(evidence.harm).toBeUndefined()
          }
          sinceStart++
          now = pass(evidence, step, now, rows, index, index * 4 + late * 5)
          if (evidence.harm && live === undefined) {
            live = index
            if (sinceStart < 3) over++
          }
        }
        const stored = { definition: { policy }, state: { attemptAt: noon, weightPpm: 0 } } as StoredRollout
        expect(replay(stored, rows).found?.request).toBe(live === undefined ? undefined : rows[live]!.id)
        // One that ended before its abort was stored finds it again.
        expect(restarted(rows, []).harm?.cause).toBe(live === undefined ? undefined : 'hard')
        if (live !== undefined) found++
      }),
      { numRuns: 2000 },
    )
    expect(found).toBeGreaterThan(200)
    // With less than three faults since the start.
    expect(over).toBeGreaterThan(50)
  })
})

describe('a guard and the hard rule', () => {
  const judged: RolloutPolicy = {
    ...policy,
    guards: [{ metric: 'first_attempt_error', maxRatio: 1.25, share: 0.4, action: 'abort' }],
  }
  const stored = { definition: { policy: judged }, state: { attemptAt: noon, weightPpm: 0 } } as StoredRollout

  /** @returns what was found first while they came, and their rows */
  function live(steps: readonly Step[], weightPpm: number) {
    const evidence = new Evidence(judged, noon)
    const rows: StoredRecord[] = []
    let now = noon
    let first: { request: number; cause: string } | undefined
    for (const [index, step] of steps.entries()) {
      now = pass(evidence, step, now, rows, index, index, weightPpm)
      if (evidence.harm) first ??= { request: index, cause: evidence.harm.cause }
    }
    return { first, rows }
  }

  it.each<[string, Step[], number, string]>([
    ['with the same request, as a canary without a key at 5 %', [bad, good, bad, bad], 50_000, 'guard'],
    ['the guard first', [...Array<Step>(4).fill(canary('server_error')), bad, good, bad, bad], 200_000, 'guard'],
    ['the rule first', [bad, good, bad, bad, ...Array<Step>(9).fill(bad)], 500_000, 'hard'],
  ])('%s: told is what was found first, live, by a replay and after a restart', (_, steps, weightPpm, cause) => {
    const { first, rows } = live(steps, weightPpm)
    const { found } = replay(stored, rows)
    expect([first?.cause, found?.cause, found?.request]).toEqual([cause, cause, first?.request])
    const again = firstHarm(judged, noon, { folds: [], records: rows, foldedTo: 0 })
    expect(again).toMatchObject({ action: 'rollback', cause, reason: found?.reason })
  })

  it('and so whatever comes, wherever rows were folded', () => {
    const outcome = fc.constantFrom<Outcome>('auth_failed', 'auth_failed', 'server_error', 'ok', 'unavailable')
    const step = fc.oneof(
      { weight: 3, arbitrary: outcome.map(canary) },
      { weight: 2, arbitrary: fc.constantFrom<Outcome>('ok', 'ok', 'ok', 'server_error').map(stable) },
    )
    const seen = { guard: 0, hard: 0 }
    fc.assert(
      fc.property(
        fc.array(step, { maxLength: 40 }),
        fc.constantFrom(50_000, 300_000, 700_000),
        fc.nat(),
        (steps, ppm, end) => {
          const { first, rows } = live(steps, ppm)
          const { found } = replay(stored, rows)
          expect(found && { request: found.request, cause: found.cause }).toEqual(first)
          // Nothing is folded after harm: the process ends with it, or stores the abort.
          const folder = new RowFolder(judged)
          const folded = end % ((first?.request ?? rows.length) + 1)
          for (const row of rows.slice(0, folded)) folder.add({ ...row, unit: undefined })
          const kept = { folds: [folder.fold()], records: rows.slice(folded), foldedTo: folded }
          const again = firstHarm(judged, noon, kept)
          expect(again && [again.cause, again.reason]).toEqual(found && [found.cause, found.reason])
          if (first) seen[first.cause as keyof typeof seen]++
        },
      ),
      { numRuns: 1000 },
    )
    expect(Math.min(seen.guard, seen.hard)).toBeGreaterThan(40)
  })
})

describe('on a whole gateway', () => {
  let gateway: RolloutGateway
  afterEach(() => gateway?.close())

  it.each([
    ['a key that is not valid', 401, 'invalid_api_key', 'auth_failed'],
    ['a parameter that the model does not take', 400, 'unsupported_parameter', 'unsupported_parameter'],
  ])(
    '%s: the rows lead to the same decision',
    async (_, status, code, kind) => {
      gateway = await startRollout(
        '    assign: { unit: request }\n    guards: { dryRun: [first_attempt_error, ttft, latency] }\n    steps: [ { setWeight: 50 }, { pause: { duration: 1h } } ]\n',
      )
      const body = { error: { message: 'No.', type: 'invalid_request_error', param: 'top_k', code } }
      gateway.script('canary', { fault: { kind: 'status', status, body } })
      await gateway.verb('start')
      const live = () => gateway.running.turnout.rollouts!.find('move')!
      const replies = await gateway.drive(() => live().state.phase === 'rolled_back')
      expect(replies.every((reply) => reply.status === 200)).toBe(true)
      const { cause, reason } = await gateway.get('/rollouts/move')
      expect([cause, reason]).toEqual(['hard', expect.stringContaining(kind)])
      // What is asked of the gateway is asked of all rows: it brings in those that wait in the journal.
      expect((await gateway.get('/rollouts/move/requests')).data.length).toBeGreaterThan(2)
      const file = `${gateway.folder}/data/turnout.db`
      const store = openStore({ file, readonly: true })
      const keeper = openRollouts(store)
      const stored = keeper.list().find(({ definition }) => definition.name === 'move')!
      const again = replay(stored, keeper.records(stored.id, stored.state.attempt, stored.state.attemptAt))
      store.close()
      expect(again.found).toMatchObject({ cause: 'hard', guard: undefined, reason: expect.stringContaining(kind) })
      const { code: exit, out } = await runTurnout(['rollout', 'replay', 'move', '--db', file], { cwd: gateway.folder })
      expect([exit, out.split('\n').at(-2)]).toEqual([0, 'both agree'])
    },
    300_000,
  )
})
