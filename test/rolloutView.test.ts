// What a terminal shows of a rollout, where it stands still and why it moves nothing.
import { expect, it } from 'vitest'
import { renderExplanation, renderOutcome, renderRollout, type ShownRollout } from '../src/cli/rolloutView.ts'

const shown = (phase: string, idle: string | null): ShownRollout => ({
  name: 'move',
  route: 'chat',
  stable: ['a/old'],
  canary: ['b/new'],
  phase,
  percent: 5,
  revision: 3,
  attempt: 1,
  step: 1,
  unit: 'request',
  cause: 'operator',
  reason: 'lunch',
  updated_at: '2026-11-21T12:00:00.000Z',
  idle,
})
const event = {
  seq: 7,
  at: '2026-11-21T12:00:00.000Z',
  actor: 'ops',
  verb: 'pause',
  to: 'paused',
  percent: 5,
  cause: 'operator',
  reason: 'lunch',
  revision: 3,
}

it.each(['stepping', 'paused', 'awaiting', 'completed'])('one that is %s and moves nothing says so', (phase) => {
  expect(renderRollout(shown(phase, 'the bypass is on'))).toContain('\nmoves nothing: the bypass is on\n')
  expect(renderRollout(shown(phase, null))).not.toContain('moves nothing')
  expect(renderExplanation(shown(phase, 'the bypass is on'), [event])).toContain('It moves nothing: the bypass is on.')
  expect(renderOutcome(shown(phase, 'the bypass is on'))).toBe(
    `move: ${phase} at 5 %; moves nothing: the bypass is on\n`,
  )
  expect(renderOutcome(shown(phase, null))).toBe(`move: ${phase} at 5 %\n`)
})

it.each(['draft', 'stopped', 'rolled_back'])('that one is %s is told once', (phase) => {
  expect(renderRollout(shown(phase, `it is ${phase}`))).not.toContain('moves nothing')
})
