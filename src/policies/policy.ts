// What a policy is: a pure choice and order of targets for one request. A new policy is one file here and one line in index.ts.
import type { Ask } from '../dialects/dialect.ts'

/** What a policy may know of a target. */
export interface Candidate {
  readonly id: string
}

/** Numbers handed in, so that a policy needs no clock and no randomness. */
export interface Facts {
  /** Uniform in [0, 1), drawn once per request. */
  readonly draw: number
}

export interface Policy {
  readonly name: string
  /** The order in which targets are tried, best first; may leave some out. Must not change `candidates`. */
  choose<T extends Candidate>(candidates: readonly T[], ask: Ask, facts: Facts): T[]
}
