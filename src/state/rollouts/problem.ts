// What can be wrong with a wish about rollouts. The messages may be shown as they are.

export class RolloutProblem extends Error {
  readonly kind: 'unknown' | 'conflict' | 'invalid' | 'stale'
  /** The field that it is about, where there is one. */
  readonly field: string | undefined

  constructor(kind: RolloutProblem['kind'], message: string, field?: string) {
    super(message)
    this.name = 'RolloutProblem'
    this.kind = kind
    this.field = field
  }
}
