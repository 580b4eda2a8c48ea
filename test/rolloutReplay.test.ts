// The hard rule by the rows: what the gateway decides while requests come and what is recomputed from their rows are one decision.
import { afterEach, describe, expect, it } from 'vitest'
import type { StoredRecord, StoredRollout } from '../src/config/rolloutTypes.ts'
import { bitOf, breakerOpen, defaultPolicy, Evidence, type RolloutPolicy, type Ticket } from '../src/rollouts/index.ts'
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
type Outcome = 'ok' | 'auth_failed' | 'server_error' | 'unavailable' | 'cancelled' | 'slow' | 'slow_auth_failed'
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
  for (const [index, { canary, outcome }] of steps.entries()) {
    const ticket = evidence.admit({ now, bucket: canary ? 0 : 2 ** 32 - 1, weightPpm: 500_000 })
    now += outcome.startsWith('slow') ? 1500 : 10
    finish(evidence, ticket, now, outcome)
    now += 10
    evidence.tick(now)
    if (evidence.harm?.cause === 'hard') live ??= index
    rows.push({
      id: index,
      revision: 2,
      arrival: index,
      unit: undefined,
      firstAttempt: outcome === 'slow' ? 'ok' : outcome.replace('slow_', ''),
      record: evidence.recordOf(ticket),
    })
  }
  const { found } = replay({ definition: { policy }, state: { attemptAt: noon, weightPpm: 0 } } as StoredRollout, rows)
  expect(found === undefined || found.cause === 'hard').toBe(true)
  return { live, rows: found?.request }
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
