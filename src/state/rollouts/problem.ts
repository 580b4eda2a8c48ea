// What can be wrong with a wish about rollouts. The messages may be shown as they are.

import { RolloutConflict } from '../../rollouts/machine.ts'

/** What a change is made from. */
export interface Seen {
  readonly revision: number
  /** Id of the rollout; undefined = whichever it is. */
  readonly rollout?: number | undefined
}

/** @throws RolloutProblem `stale` where it is not what was seen. @param is undefined = there is none yet, which is revision 0 */
export function requireSeen(
  what: string,
  is: { readonly id: number; readonly state: { readonly revision: number } } | undefined,
  seen: Seen | undefined,
): void {
  const revision = is?.state.revision ?? 0
  if (!seen || (seen.revision === revision && (seen.rollout ?? is?.id) === is?.id)) return
  throw new RolloutProblem('stale', `${what} is at revision ${revision} now: look at it and repeat.`)
}

/** A wish about rollouts that cannot be granted; the message can be shown as it is. */
export class RolloutProblem extends Error {
  /** `unstored`: it is in force, and the database has not taken it. */
  readonly kind: 'unknown' | 'conflict' | 'invalid' | 'stale' | 'unstored'
  /** The field that it is about, where there is one. */
  readonly field: string | undefined

  constructor(kind: RolloutProblem['kind'], message: string, field?: string) {
    super(message)
    this.name = 'RolloutProblem'
    this.kind = kind
    this.field = field
  }
}

/** Somebody else has changed it meanwhile: for what goes on by itself no trouble, it looks again at what is due. */
export const isOvertaken = (error: unknown): boolean =>
  error instanceof RolloutConflict || (error instanceof RolloutProblem && error.kind === 'stale')
