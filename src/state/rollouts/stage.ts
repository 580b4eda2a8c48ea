// Finds where a rollout stood at an earlier revision, and which share it had, for those who want it back there.
import { isRunning, RolloutConflict, type Stage } from '../../rollouts/machine.ts'
import type { Live } from './live.ts'
import { RolloutProblem } from './problem.ts'
import type { Rollouts } from './rollouts.ts'

/** @throws RolloutProblem for a revision that it never had; RolloutConflict where it cannot go back to that */
export function stageAt(rollouts: Rollouts, live: Live, revision: number): Stage {
  const { name, state } = live
  const past = revision < state.revision ? rollouts.events(live) : []
  const event = past.find((one) => one.revision === revision)
  if (!event) {
    const text = `'${name}' is at revision ${state.revision}, and has no revision ${revision} before that.`
    throw new RolloutProblem('invalid', text, 'toRevision')
  }
  if (event.to === 'completed')
    throw new RolloutConflict(`At revision ${revision} it was completed: 'promote' with 'full' does that again.`)
  const stage: Stage = { phase: event.to, step: event.step, weightPpm: event.weightPpm }
  const moved = rollouts.traffic.of(live.definition.route)
  const other = moved?.running ?? moved?.promoted.at(-1)
  if (isRunning(stage) && other && other !== live)
    throw new RolloutConflict(`Meanwhile '${other.name}' moves this route: end that first.`)
  return stage
}

/** The share that a percentage had when it ran last. @throws RolloutConflict where it never had one */
export function shareBefore(rollouts: Rollouts, live: Live): number {
  const event = rollouts.events(live).findLast((one) => isRunning({ phase: one.to }) && one.weightPpm > 0)
  if (event) return event.weightPpm
  throw new RolloutConflict(`'${live.name}' has had no percentage yet: 'turnout canary' gives it one.`)
}
