// Makes the event of a change, with what was known when it happened.
import type { NewEvent, RolloutDefinition } from '../../config/rolloutTypes.ts'
import type { State } from '../../rollouts/machine.ts'

export function eventOf(
  verb: NewEvent['verb'],
  from: State | undefined,
  to: State,
  actor: string,
  evidence: unknown,
): NewEvent {
  const { revision, phase, step, weightPpm, attempt, cause, reason, updatedAt } = to
  return {
    revision,
    at: updatedAt,
    actor,
    verb,
    from: from?.phase ?? '',
    to: phase,
    step,
    weightPpm,
    attempt,
    cause,
    reason,
    evidence,
  }
}

/** What a new rollout is about. */
export const armsOf = ({ route, stable, canary }: RolloutDefinition): object => ({ route, stable, canary })
