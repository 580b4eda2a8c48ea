// Every change of a rollout that can happen has its series before it does: a counter that begins with 1 is no increase to Prometheus.
import { describe, expect, it } from 'vitest'
import {
  type Command,
  type Course,
  draftState,
  due,
  isRunning,
  RolloutConflict,
  transit,
} from '../src/rollouts/machine.ts'
import { rolloutMetrics } from '../src/telemetry/rolloutTable.ts'
import { drawOf } from './support/draws.ts'

const wait = { kind: 'wait', duration: 10, minRequests: 1, advance: 'no_harm', approval: false, maxWait: 100 } as const
const weight = { kind: 'weight', ppm: 100_000 } as const
const courses: readonly Course[] = [
  { steps: [], open: true },
  { steps: [weight, wait, weight, { ...wait, approval: true }, wait], open: false },
  // Without anything to wait for it is completed when it is started.
  { steps: [{ ...weight, ppm: 1_000_000 }], open: false },
]
const byHand: readonly Pick<Command, 'verb' | 'ppm' | 'full' | 'back'>[] = [
  { verb: 'start' },
  { verb: 'retry' },
  { verb: 'pause' },
  { verb: 'resume' },
  { verb: 'set-weight', ppm: 200_000 },
  { verb: 'set-weight', ppm: 0 },
  { verb: 'approve' },
  { verb: 'promote' },
  { verb: 'promote', full: true },
  { verb: 'abort' },
  { verb: 'undo' },
  { verb: 'undo', back: { phase: 'stepping', step: 1, weightPpm: 100_000 } },
  { verb: 'stop' },
]
/** What the gateway does by itself to what runs. */
const byItself: readonly Pick<Command, 'verb' | 'cause'>[] = [
  ...(['guard', 'hard', 'slo', 'budget'] as const).map((cause) => ({ verb: 'abort', cause }) as const),
  ...(['signal', 'srm', 'no_data', 'inconclusive'] as const).map((cause) => ({ verb: 'hold', cause }) as const),
  { verb: 'stop', cause: 'superseded' },
]
/** What the file, or the environment, says of a percentage. */
const byFile: readonly Pick<Command, 'verb' | 'ppm'>[] = [
  { verb: 'start', ppm: 50_000 },
  { verb: 'set-weight', ppm: 300_000 },
  { verb: 'set-weight', ppm: 0 },
  { verb: 'stop' },
]

describe('turnout_rollout_transitions_total', () => {
  const shown = rolloutMetrics.rolloutTransitions.shown.map((labels) => labels.join(' '))

  it('shows each change once', () => expect(new Set(shown).size).toBe(shown.length))

  it.each(courses)('has a series for whatever happens to a rollout: course %#', (course) => {
    const draw = drawOf(7)
    const pick = <One>(list: readonly One[]): One => list[Math.floor(draw() * list.length)]!
    const seen = new Set(['none draft operator', 'none draft file', 'none draft environment'])
    let state = draftState(0)
    for (let now = 1; now < 20_000; now++) {
      const kind = draw()
      const next = due(course, state, { now, verdict: pick(['advance', 'no_data', 'inconclusive']) })
      let command: Command = { reason: '', cause: 'operator', ...pick(byHand) }
      if (kind < 0.2 && next) command = { ...next, reason: '' }
      else if (kind < 0.22 && state.phase !== 'draft')
        command = { reason: '', verb: 'abort', cause: 'guard', inForce: true }
      else if (kind < 0.3 && isRunning(state)) command = { reason: '', ...pick(byItself) }
      else if (kind < 0.4 && course.open)
        command = { reason: '', cause: pick(['file', 'environment']), ...pick(byFile) }
      try {
        const to = transit(course, state, command, now)
        if (to !== state) seen.add(`${state.phase} ${to.phase} ${command.cause}`)
        state = draw() < 0.01 ? draftState(now) : to
      } catch (error) {
        if (!(error instanceof RolloutConflict)) throw error
      }
    }
    expect(seen.size).toBeGreaterThan(8)
    expect([...seen].filter((one) => !shown.includes(one))).toEqual([])
  })
})
