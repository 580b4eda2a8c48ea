// The hard rule by the rows: what the gateway decides while requests come and what is recomputed from their rows are one decision.
import { afterEach, describe, expect, it } from 'vitest'
import type { StoredRecord, StoredRollout } from '../src/config/rolloutTypes.ts'
import {
  bitOf,
  breakerOpen,
  defaultPolicy,
  Evidence,
  type RolloutPolicy,
  RowFolder,
  type Ticket,
} from '../src/rollouts/index.ts'
import { replay } from '../src/state/rollouts/replay.ts'
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
  | 'server_error'
  | 'unavailable'
  | 'cancelled'
  | 'slow'
  | 'slow_auth_failed'
interface Step {
  readonly canary: boolean
  readonly outcome: Outcome
}

/** @returns the request with which harm was found while they came, and when it is looked for in their rows */
function both(steps: readonly Step[]): { live: number | undefined; rows: number | undefined } {
  const evidence = new Evidence(policy, noon)
  const rows: StoredRecord[] = []
  let now = noon
  let live: number | undefined
  for (const [index, step] of steps.entries()) {
    now = pass(evidence, step, now, rows, index, index)
    if (evidence.harm?.cause === 'hard') live ??= index
  }
  const { found } = replay({ definition: { policy }, state: { attemptAt: noon, weightPpm: 0 } } as StoredRollout, rows)
  expect(found === undefined || found.cause === 'hard').toBe(true)
  return { live, rows: found?.request }
}

/** @returns the time at which it is over */
function pass(evidence: Evidence, step: Step, now: number, rows: StoredRecord[], arrival: number, id: number): number {
  const { canary, outcome } = step
  const ticket = evidence.admit({ now, bucket: canary ? 0 : 2 ** 32 - 1, weightPpm: 500_000 })
  const then = now + (outcome.startsWith('slow') ? 1500 : 10)
  finish(evidence, ticket, then, outcome)
  evidence.tick(then + 10)
  const firstAttempt = outcome === 'slow' ? 'ok' : outcome.replace('slow_', '')
  rows.push({ id, revision: 2, arrival, unit: undefined, firstAttempt, record: evidence.recordOf(ticket) })
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
  function restarted(rows: readonly StoredRecord[], ends: readonly number[]): Evidence {
    const evidence = new Evidence(policy, noon)
    const byId = [...rows].sort((a, b) => a.id - b.id)
    const places = [...ends.map((end) => end % (rows.length + 1)).sort((a, b) => a - b), rows.length]
    let from = 0
    const folds = places.map((to, n) => {
      const folder = new RowFolder(policy)
      for (const row of byId.slice(from, to)) folder.add({ ...row, unit: undefined })
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
