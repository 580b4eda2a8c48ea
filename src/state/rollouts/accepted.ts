// Which causes of a pause somebody has gone on after: they do not pause the attempt again.
import type { RolloutEvent } from '../../config/rolloutTypes.ts'

/** Causes for which the evidence itself pauses. Others, such as `inconclusive`, may come again. */
const doubts: ReadonlySet<string> = new Set(['srm', 'slo', 'signal'])

/** Follows from the events of an attempt alone, so that a start knows it again. */
export class Accepted {
  /** As `Conditions.accepted`: ids of guards, `srm`, `slo`. */
  readonly causes: string[] = []
  #pausedFor: string | undefined

  /** Call with each event of the attempt, in order. */
  take({ verb, cause, reason, to }: Pick<RolloutEvent, 'verb' | 'cause' | 'reason' | 'to'>): void {
    if (verb === 'hold' && doubts.has(cause)) this.#pausedFor = cause === 'signal' ? guardOf(reason) : cause
    else if (to === 'stepping' && this.#pausedFor !== undefined) {
      this.causes.push(this.#pausedFor)
      this.#pausedFor = undefined
    }
  }
}

/** What `explainHarm` says begins with the guard's id. */
const guardOf = (reason: string): string => reason.slice(0, reason.indexOf(':'))
