// A replay of an attempt that somebody ended while requests were under way: what those bring to light was nobody's to decide any more.
import { afterEach, expect, it } from 'vitest'
import type { RolloutEvent } from '../src/config/rolloutTypes.ts'
import { type Found, overBefore } from '../src/state/rollouts/replay.ts'
import { type RolloutGateway, startRollout } from './support/rolloutLoad.ts'
import { runTurnout } from './support/turnoutProcess.ts'

let gateway: RolloutGateway | undefined
afterEach(async () => {
  await gateway?.close()
  gateway = undefined
})

it('agrees, and says who ended it', async () => {
  const guards = '    guards: { dryRun: [ttft, latency, slow_start] }\n'
  const steps = '    steps: [ { setWeight: 50 }, { pause: { duration: 1h } } ]\n'
  gateway = await startRollout(`    assign: { unit: request }\n    inFlight: finish\n${guards}${steps}`)
  // None may fail before all have come and the abort is said, on a busy machine too.
  gateway.script('canary', { headersDelayMs: 4_000, fault: { kind: 'status', status: 500 } })
  await gateway.verb('start')
  const live = gateway.running.turnout.rollouts!.find('move')!
  const under = Array.from({ length: 40 }, () => gateway!.chat('moved'))
  await expect.poll(() => [live.arrivals, live.trial!.pending.size >= 15]).toEqual([40, true])
  await gateway.verb('abort')
  expect(new Set((await Promise.all(under)).map(({ status }) => status))).toEqual(new Set([200]))
  // What is asked of the gateway is asked of all rows: it brings in those that wait in the journal.
  expect((await gateway.get('/rollouts/move/requests?limit=1000')).data).toHaveLength(40)
  const file = `${gateway.folder}/data/turnout.db`
  const { code, out, err } = await runTurnout(['rollout', 'replay', 'move', '--db', file], { cwd: gateway.folder })
  expect(code, out + err).toBe(0)
  expect(out).toMatch(
    /\nthe rows find harm with req_\w+: first_attempt_error: .*\nthe gateway found none\nit was over before: abort by admin, with requests under way\nboth agree\n$/,
  )
}, 120_000)

it('does not excuse what the gateway knew, or could have known', () => {
  const found: Found = { request: 1, cause: 'guard', guard: 'g', reason: 'g: harm', bad: 13 }
  const ended = (bad: number, isHarm: boolean, start: number, more: object = {}): RolloutEvent[] => {
    const evidence = {
      arrivals: 100,
      waiting: { start, end: 0 },
      guards: [{ id: 'g', isHarm, bad: { stable: 0, canary: bad } }],
    }
    return [{ attempt: 1, from: 'stepping', to: 'rolled_back', evidence, ...more } as unknown as RolloutEvent]
  }
  expect(overBefore(ended(12, false, 1), 1, found, [])).toBeDefined()
  // Nothing was under way; all was counted; the guard had found it; another attempt; it went on.
  expect(overBefore(ended(12, false, 0), 1, found, [])).toBeUndefined()
  expect(overBefore(ended(13, false, 1), 1, found, [])).toBeUndefined()
  expect(overBefore(ended(12, true, 1), 1, found, [])).toBeUndefined()
  expect(overBefore(ended(12, false, 1), 2, found, [])).toBeUndefined()
  expect(overBefore(ended(12, false, 1, { to: 'paused' }), 1, found, [])).toBeUndefined()
  const hard: Found = { request: 1, cause: 'hard', guard: undefined, reason: 'hard', bad: undefined }
  const arrived = (...arrivals: number[]) => arrivals.map((arrival) => ({ id: arrival === 90 ? 1 : arrival, arrival }))
  expect(overBefore(ended(0, false, 3), 1, hard, arrived(89, 90, 91, 92))).toBeDefined()
  expect(overBefore(ended(0, false, 0), 1, hard, arrived(89, 90, 91, 92))).toBeUndefined()
  // Those under way came later than it; of two of these four that was not known yet.
  expect(overBefore(ended(0, false, 3), 1, hard, arrived(90, 91, 92, 93))).toBeUndefined()
  expect(overBefore(ended(0, false, 3), 1, hard, arrived(90, 99, 100, 101, 102))).toBeDefined()
})
